//! Whether what is said is true, when it is quiet again.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use anyhow::Context;
use futures_util::future::join_all;
use senlin_core::cluster::{MemberCounts, evaluate};
use senlin_testkit::TestDb;
use senlin_tests::programs::tenant_token;
use serde_json::json;
use tokio::task::block_in_place;

use crate::{
    records::{self, at, rows},
    report::Report,
    stage::Stage,
};

/// How long it may take to be quiet.
pub(crate) const QUIET: Duration = Duration::from_secs(180);
/// How long it must stay so.
const STAYS: Duration = Duration::from_secs(10);

/// Waits until nothing is under way any more. Returns how long that took.
pub(crate) async fn quiet(db: &TestDb, report: &mut Report, when: &str) -> anyhow::Result<()> {
    let begun = Instant::now();
    let mut since: Option<Instant> = None;
    loop {
        let unrest = records::unrest(db).await?;
        if unrest.iter().all(|(_, n)| *n == 0) {
            let first = *since.get_or_insert_with(Instant::now);
            if first.elapsed() >= STAYS {
                let took = first - begun;
                report.add(
                    &format!("quiet {when}"),
                    &format!("after {:.0} s", took.as_secs_f64()),
                    took <= QUIET,
                );
                return Ok(());
            }
        } else {
            since = None;
        }
        if begun.elapsed() > QUIET + STAYS {
            report.add(&format!("quiet {when}"), &format!("not within {QUIET:?}"), false);
            let left = unrest.into_iter().filter(|(_, n)| *n > 0);
            left.for_each(|(what, n)| report.add(&format!("left {when}: {what}"), &n.to_string(), false));
            for row in rows(
                db,
                &[
                    "id",
                    "action",
                    "status",
                    "phase",
                    "attempt",
                    "retries",
                    "owner",
                    "control",
                    "status_reason",
                ],
                "FROM actions WHERE status NOT IN ('SUCCEEDED', 'FAILED', 'CANCELLED') ORDER BY seq LIMIT 20",
            )
            .await
            .unwrap_or_default()
            {
                report.note(&format!("not ended: {}", row.join(" | ")));
            }
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

/// Checks every node at the same moment, asked of both APIs in turn.
pub(crate) async fn check_all(stage: &Stage, db: &TestDb, report: &mut Report) -> anyhow::Result<()> {
    let nodes = rows(
        db,
        &["id", "project"],
        "FROM nodes WHERE id NOT IN (SELECT node_id FROM hosts)",
    )
    .await?;
    let asks = nodes.iter().enumerate().map(|(n, node)| async move {
        let client = stage.clients.get(n % 2)?;
        let tenant = at(node, 1).trim_start_matches("tenant-").parse().ok()?;
        let path = format!("/v1/nodes/{}/actions", at(node, 0));
        let body = json!({"check": {}});
        let client = client.with(&tenant_token(tenant));
        let answer = client.call(hyper::Method::POST, &path, Some(&body)).await;
        Some(answer.map_or_else(|e| e.to_string(), |(status, body)| format!("{status} {body}")))
    });
    let answers: Vec<String> = join_all(asks).await.into_iter().flatten().collect();
    let refused: Vec<&String> = answers.iter().filter(|a| !a.starts_with("202")).collect();
    refused
        .iter()
        .take(5)
        .for_each(|a| report.note(&format!("a check: {a}")));
    report.add(
        "checks of all nodes at once, accepted",
        &format!("{} of {}", answers.len() - refused.len(), nodes.len()),
        refused.is_empty() && answers.len() == nodes.len(),
    );
    Ok(())
}

/// Every accepted action is known and has ended.
pub(crate) async fn accepted(db: &TestDb, report: &mut Report, accepted: &[String]) -> anyhow::Result<()> {
    let relation = records::actions(db).await?;
    let known = rows(db, &["id", "status"], &format!("FROM {relation} a")).await?;
    let known: BTreeMap<&str, &str> = known.iter().map(|r| (at(r, 0), at(r, 1))).collect();
    let lost = accepted.iter().filter(|id| !known.contains_key(id.as_str())).count();
    let ended = |s: &&&str| matches!(**s, "SUCCEEDED" | "FAILED" | "CANCELLED");
    let open = known.values().filter(|s| !ended(s)).count();
    let mine = accepted.iter().filter_map(|id| known.get(id.as_str()));
    let mut counts = BTreeMap::<&str, u32>::new();
    mine.for_each(|s| *counts.entry(s).or_default() += 1);
    report.add(
        "accepted actions that are not known any more",
        &lost.to_string(),
        lost == 0,
    );
    report.add(
        "actions that have not ended",
        &format!("{open} of {}", known.len()),
        open == 0,
    );
    report.note(&format!("accepted: {}, of which {counts:?}", accepted.len()));
    for (what, n) in records::unrest(db).await? {
        report.add(&what, &n.to_string(), n == 0);
    }
    Ok(())
}

/// A container of ours, as its host tells.
struct Seen {
    host: usize,
    id: String,
    running: bool,
}

/// Every container has one node and every node's word is true.
pub(crate) async fn truth(stage: &Stage, db: &TestDb, report: &mut Report) -> anyhow::Result<()> {
    let mut seen = BTreeMap::<String, Vec<Seen>>::new();
    let format = "'{{.ID}} {{.State}} {{.Label \"senlin.node\"}}'";
    for (n, host) in stage.hosts.all.iter().enumerate() {
        let list = format!(
            "ps -a --no-trunc --filter label=senlin.owner={} --format {format}",
            stage.installation
        );
        for line in block_in_place(|| host.docker(&list))?.lines() {
            let mut parts = line.split(' ').map(str::to_owned);
            let (id, state) = (parts.next().context("id")?, parts.next().context("state")?);
            seen.entry(parts.next().unwrap_or_default()).or_default().push(Seen {
                host: n,
                id,
                running: state == "running",
            });
        }
    }
    let containers: usize = seen.values().map(Vec::len).sum();
    let nodes = rows(
        db,
        &[
            "n.id",
            "n.name",
            "n.status",
            "n.physical_id",
            "h.endpoint",
            "n.status_reason",
        ],
        "FROM nodes n LEFT JOIN hosts h ON h.node_id = n.host_id WHERE n.id NOT IN (SELECT node_id FROM hosts)",
    )
    .await?;
    let ids: BTreeSet<&str> = nodes.iter().map(|n| at(n, 0)).collect();
    let twice: Vec<&String> = seen.iter().filter(|(_, all)| all.len() > 1).map(|(n, _)| n).collect();
    let orphans: Vec<&String> = seen.keys().filter(|n| !ids.contains(n.as_str())).collect();
    twice.iter().for_each(|n| report.note(&format!("twice: {n}")));
    orphans.iter().for_each(|n| report.note(&format!("orphan of {n}")));
    let mut lies = 0;
    for node in &nodes {
        let own = seen.get(at(node, 0)).map(Vec::as_slice).unwrap_or_default();
        let host = stage.host_of(at(node, 4));
        let there = |c: &&Seen| c.id == at(node, 3) && Some(c.host) == host;
        let runs = own.iter().find(there).is_some_and(|c| c.running);
        let any = own.iter().any(|c| c.running);
        // ACTIVE means that its container runs where it says; the others, that none does.
        // Nothing is under way, so no other status is true.
        let told = match at(node, 2) {
            "ACTIVE" => runs,
            "ERROR" | "WARNING" => !any,
            _ => false,
        };
        if !told {
            lies += 1;
            report.note(&format!(
                "untrue: node {} ({}) is {} with container {:.12} on {host:?}: {}; there are {:?}",
                at(node, 1),
                at(node, 0),
                at(node, 2),
                at(node, 3),
                at(node, 5),
                own.iter()
                    .map(|c| (c.host, c.id.get(..12), c.running))
                    .collect::<Vec<_>>()
            ));
        }
    }
    report.note(&format!("{} nodes, {containers} containers", nodes.len()));
    report.add("nodes with two containers", &twice.len().to_string(), twice.is_empty());
    report.add(
        "containers without a node",
        &orphans.len().to_string(),
        orphans.is_empty(),
    );
    report.add("nodes whose word is not true", &lies.to_string(), lies == 0);
    clusters(db, report).await?;
    foreign(stage, report)
}

/// A cluster's status is what follows from its members.
async fn clusters(db: &TestDb, report: &mut Report) -> anyhow::Result<()> {
    let relation = records::actions(db).await?;
    let count = |what: &str| format!("(SELECT count(*) FROM nodes n WHERE n.cluster_id = c.id {what})");
    // One that did not become smaller as asked may be too large, and says why in its action. So may one in
    // which a creation was cancelled before it was counted as asked for.
    let excused = format!(
        "EXISTS (SELECT 1 FROM {relation} a WHERE a.cluster_id = c.id AND (a.status <> 'SUCCEEDED' AND a.action IN
        ('CLUSTER_SCALE_IN', 'CLUSTER_RESIZE', 'CLUSTER_DEL_NODES', 'CLUSTER_DELETE', 'NODE_DELETE', 'NODE_LEAVE')
        OR a.status = 'CANCELLED' AND a.action = 'NODE_CREATE'))"
    );
    let list = rows(
        db,
        &[
            "c.name",
            "c.status",
            "c.desired_capacity",
            "c.min_size",
            "c.max_size",
            &count(""),
            &count("AND n.status = 'ACTIVE'"),
            &excused,
            "c.status_reason",
        ],
        "FROM clusters c",
    )
    .await?;
    let (mut untrue, mut large) = (0, 0);
    for row in &list {
        let number = |column: usize| at(row, column).parse::<i32>().unwrap_or(-1);
        let member_counts = MemberCounts {
            active: number(6),
            total: number(5),
            desired: number(2),
            min: number(3),
            max: number(4),
        };
        let (status, _) = evaluate("", member_counts);
        if status.as_str() != at(row, 1) {
            untrue += 1;
            report.note(&format!("untrue: cluster {} {member_counts:?}", row.join(" | ")));
        }
        if at(row, 1) == "ACTIVE" && member_counts.total > member_counts.desired && at(row, 7) != "true" {
            large += 1;
            report.note(&format!("too large: cluster {}", row.join(" | ")));
        }
    }
    report.add(
        "clusters whose word is not true",
        &format!("{untrue} of {}", list.len()),
        untrue == 0,
    );
    report.add(
        "clusters larger than asked for no reason",
        &large.to_string(),
        large == 0,
    );
    Ok(())
}

/// What is not ours runs as before.
fn foreign(stage: &Stage, report: &mut Report) -> anyhow::Result<()> {
    let mut touched = 0;
    for (n, host) in stage.hosts.all.iter().enumerate() {
        let running = block_in_place(|| host.docker("ps -q --no-trunc"))?;
        let running: BTreeSet<&str> = running.lines().collect();
        let own = stage.foreign.iter().filter(|(at, _)| *at == n);
        touched += own.filter(|(_, id)| !running.contains(id.as_str())).count();
    }
    report.add(
        "foreign containers that do not run any more",
        &format!("{touched} of {}", stage.foreign.len()),
        touched == 0,
    );
    Ok(())
}
