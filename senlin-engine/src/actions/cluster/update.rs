//! CLUSTER_UPDATE: its own fields, and another profile for it and its members.

use senlin_core::{
    Map,
    action::{ActionKind, ActionStatus},
    cluster::ClusterStatus,
    ids::ProfileId,
};
use senlin_db::{
    members::{self, Change},
    spawn::SizeChange,
};

use super::{FINISH, child, children, conclude_with, launch, load, mark};
use crate::context::{Ctx, Failure, Outcome};

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    let new_profile: Option<ProfileId> = ctx.input("new_profile_id")?;
    if ctx.action.phase.is_empty() {
        return begin(ctx, new_profile).await;
    }
    let ends = children(ctx, FINISH).await?;
    if new_profile.is_some() && ends.iter().all(|c| c.status == ActionStatus::Succeeded) {
        let change = Change {
            profile_id: new_profile,
            ..Change::default()
        };
        let mut conn = ctx.conn().await?;
        let write = members::update_cluster(&mut conn, ctx.fence, ctx.cluster_id()?, &change);
        ctx.record("record the profile", write).await?;
    }
    conclude_with(ctx, "Cluster update completed.", &ends).await
}

async fn begin(ctx: &Ctx, new_profile: Option<ProfileId>) -> Result<Outcome, Failure> {
    let cluster = load(ctx).await?;
    mark(ctx, ClusterStatus::Updating, "Update in progress").await?;
    let change = Change {
        name: ctx.input("name")?,
        metadata: ctx.input("metadata")?,
        timeout: ctx.input("timeout")?,
        config: ctx.input("config")?,
        ..Change::default()
    };
    let mut conn = ctx.conn().await?;
    ctx.record(
        "record the fields",
        members::update_cluster(&mut conn, ctx.fence, cluster.id, &change),
    )
    .await?;
    drop(conn);
    let members_too = !ctx.input::<bool>("profile_only")?.unwrap_or(false);
    let mut updates = Vec::new();
    if let (Some(profile), true) = (new_profile, members_too) {
        let mut inputs = Map::new();
        inputs.insert("new_profile_id".to_owned(), profile.to_string().into());
        updates.extend(
            cluster
                .nodes
                .iter()
                .map(|id| child(ctx, ActionKind::NodeUpdate, *id, inputs.clone())),
        );
    }
    launch(ctx, SizeChange::default(), FINISH, &updates).await
}
