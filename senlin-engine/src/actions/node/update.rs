//! NODE_UPDATE: another profile, and the node's own fields.

use senlin_core::{
    Map,
    action::ActionStatus,
    ids::*,
    node::{Node, NodeStatus},
    profile_type::{Demand, Updated},
};
use senlin_db::{
    fence::{self, End, NodeChange},
    members::{self, Change},
    placement, whereabouts,
};

use super::{driver, id, load};
use crate::{
    context::{Ctx, Failure, Outcome},
    specs::Loaded,
};

pub(crate) async fn run(ctx: &Ctx) -> Result<Outcome, Failure> {
    let (node, loaded) = load(ctx).await?;
    let mut conn = ctx.conn().await?;
    ctx.record(
        "mark as updating",
        fence::node_status(&mut conn, ctx.fence, NodeStatus::Updating, "Update in progress"),
    )
    .await?;
    let new_profile: Option<ProfileId> = ctx.input("new_profile_id")?;
    let mut after = NodeChange {
        status: Some(NodeStatus::Active),
        reason: "Update succeeded".to_owned(),
        ..NodeChange::default()
    };
    if let Some(profile) = new_profile.filter(|p| *p != node.profile_id) {
        let new = ctx.engine.specs.load(&mut conn, profile).await?;
        drop(conn);
        let Updated::Done {
            physical_id,
            generation,
        } = change_profile(ctx, &node, &loaded, &new).await?;
        after.physical_id = Some(Some(physical_id));
        after.generation = Some(generation);
    } else {
        drop(conn);
        after.status = Some(if node.status == NodeStatus::Updating {
            NodeStatus::Active
        } else {
            node.status
        });
    }
    let change = Change {
        name: ctx.input("name")?,
        profile_id: new_profile,
        role: ctx.input("role")?,
        metadata: ctx.input("metadata")?,
        tainted: ctx.input("tainted")?,
        ..Change::default()
    };
    let end = End {
        status: ActionStatus::Succeeded,
        reason: "The node was updated.".to_owned(),
        outputs: Map::new(),
    };
    let mut conn = ctx.conn().await?;
    let parents = ctx
        .end(
            "record the end",
            members::update_node(&mut conn, ctx.fence, id(ctx), &change, &end, &after),
        )
        .await?;
    Ok(Outcome::ended(parents))
}

async fn change_profile(ctx: &Ctx, node: &Node, old: &Loaded, new: &Loaded) -> Result<Updated, Failure> {
    if node.physical_id.is_none() {
        return Err(Failure::Refused(format!(
            "Node '{}' has no container to update.",
            node.name
        )));
    }
    if old.type_name != new.type_name {
        return Err(Failure::Refused(format!(
            "A node of type {} cannot become one of type {}.",
            old.type_name, new.type_name
        )));
    }
    if let Demand::Host(needs) = new.demand()? {
        // Nothing moves it: what it needs must hold where it is.
        let at = whereabouts::of(&mut *ctx.conn().await?, &[node.id]).await?;
        if let Some(why) = at.iter().find_map(|at| at.misplaced(&needs)) {
            return Err(Failure::Refused(format!(
                "Node '{}' cannot have this profile where it is: {why}. An update moves no container to another host.",
                node.name
            )));
        }
    }
    let driver = driver(ctx, node, old).await?;
    let updated = old
        .kind
        .update(&ctx.job(node, old, driver, ctx), &new.properties)
        .await?;
    if let (Demand::Host(needs), Some(host)) = (new.demand()?, node.host_id) {
        let mut conn = ctx.conn().await?;
        ctx.record(
            "record what it takes",
            placement::resize(&mut conn, ctx.fence, node.id, host, &needs),
        )
        .await?;
    }
    Ok(updated)
}
