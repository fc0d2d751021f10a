//! Whether those who place at the same time wait for each other.

use std::time::Duration;

use anyhow::{Context, ensure};
use senlin_testkit::until;
use senlin_tests::programs::Plane;
use serde_json::json;

use crate::{
    Table,
    fleet::{MANY, SIMULATED, hosts},
};

const PLANNERS: i64 = 10;
const EACH: i64 = 1000;
const HOSTS: usize = 1000;

/// Ten clusters of 1,000 are planned at once: hosts read, places found and
/// recorded with members and their actions, in one transaction each. The
/// members' actions hang at their first call, so that nothing else is done.
pub(crate) async fn planners(table: &mut Table) -> anyhow::Result<()> {
    let engines = format!("engine.slots = 12\n{SIMULATED}");
    let plane = Plane::durable_with_api(2, &engines, MANY).await?;
    let run = uuid::Uuid::new_v4().simple().to_string();
    let urls: Vec<String> = (0..HOSTS)
        .map(|n| format!("sim://{run}-{n}?hang=find:100,create:100&patience=300"))
        .collect();
    let hosts = hosts(&plane, &urls, &[]).await?;
    let client = &plane.client;
    let properties = json!({"image": "x", "host_cluster": hosts, "cpu": 0.1, "memory": "64m"});
    let profile = client
        .profile("web", "container.dockerinc.docker", "1.1", properties)
        .await?;
    // Engines that stand still find all ten ready at the same moment.
    plane.engines.iter().for_each(|e| e.signal("-STOP"));
    for n in 0..PLANNERS {
        client.cluster(&format!("web-{n}"), &profile, EACH).await?;
    }
    plane.engines.iter().for_each(|e| e.signal("-CONT"));
    let placed =
        "FROM nodes n JOIN clusters c ON c.id = n.cluster_id WHERE c.name LIKE 'web-%' AND n.host_id IS NOT NULL";
    until("all places", Duration::from_secs(120), || async {
        let count = plane.db.count(&format!("SELECT count(*) {placed}")).await?;
        tokio::time::sleep(Duration::from_millis(200)).await;
        ensure!(count == PLANNERS * EACH, "{count} are placed");
        Ok(())
    })
    .await?;
    let took = format!(
        "SELECT extract(epoch FROM (SELECT max(n.placed_at) {placed}) - (SELECT min(started_at) FROM actions
            WHERE action = 'CLUSTER_CREATE' AND target IN (SELECT id FROM clusters WHERE name LIKE 'web-%')))::text"
    );
    let took: f64 = plane.db.column(&took).await?.pop().context("no time")?.parse()?;
    #[expect(clippy::cast_precision_loss, reason = "ten thousand")]
    let rate = (PLANNERS * EACH) as f64 / took;
    table.add(
        "placements by ten planners at once over 1,000 hosts, 1,000 each, members and actions recorded, fsync on",
        format!("{rate:.0}/s"),
        "at least 5000/s",
        rate >= 5000.0,
    );
    Ok(())
}
