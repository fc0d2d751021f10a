//! CLUSTER_DELETE: every member, then the cluster.

use senlin_core::{Map, action::ActionStatus, cluster::ClusterStatus};
use senlin_db::{
    child_actions::SizeChange,
    fence::End,
    members::{self, Deletion},
};

use super::{children, conclude_with, launch, load, phase::Once, remove::removals, set_status};
use crate::{
    actions::context::{Ctx, Outcome},
    failure::Failure,
};

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    if Once::of(ctx)? == Once::Begin {
        let cluster = load(ctx).await?;
        set_status(ctx, ClusterStatus::Deleting, "Deletion in progress").await?;
        return launch(
            ctx,
            SizeChange::default(),
            Once::Finish.word(),
            &removals(ctx, &cluster.nodes, true),
        )
        .await;
    }
    let ends = children(ctx, Once::Finish.word()).await?;
    if ends.iter().any(|c| c.status != ActionStatus::Succeeded) {
        return conclude_with(ctx, "", &ends).await;
    }
    let end = End {
        status: ActionStatus::Succeeded,
        reason: "The cluster was deleted.".to_owned(),
        outputs: Map::new(),
    };
    let mut conn = ctx.conn();
    let write = members::delete_cluster(&mut conn, ctx.fence, ctx.cluster_id()?, &end);
    match ctx.end("record the end", write).await? {
        Deletion::Done(parents) => Ok(Outcome::ended(parents)),
        Deletion::HasProfiles => Err(Failure::Refused(
            "The cluster is still in use: profiles name it as host_cluster.".to_owned(),
        )),
        // Members that came meanwhile go too.
        Deletion::HasMembers => {
            let removals = removals(ctx, &load(ctx).await?.nodes, true);
            launch(ctx, SizeChange::default(), Once::Finish.word(), &removals).await
        }
    }
}
