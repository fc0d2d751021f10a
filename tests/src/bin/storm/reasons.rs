//! Why actions failed, and whether waiting would have mended it.

use std::{collections::BTreeMap, time::Duration};

use senlin_testkit::TestDb;

use crate::{
    plan::{Blow, Subject},
    records::{self, at, rows},
    report::Report,
};

/// What a reason says of a failure that is the asker's own doing, or the truth
/// about a container. Anything else would have been mended by waiting.
const OWN_DOING: &[(&str, &str)] = &[
    ("target capacity", "bounds of the cluster"),
    ("min_size", "bounds of the cluster"),
    ("max_size", "bounds of the cluster"),
    ("cooldown", "a policy's cooldown"),
    ("Policy check failure", "a policy"),
    ("Only one policy of type", "a second policy of a type"),
    ("already attached", "a second policy of a type"),
    ("not attached", "a policy that was not there"),
    ("could not be found", "deleted meanwhile"),
    ("is gone", "deleted or killed meanwhile"),
    ("No such container", "killed or removed by the storm"),
    ("is being removed from its host", "killed or removed by the storm"),
    ("Node check failed", "the truth about a container"),
    ("has no container", "a node that has none"),
    ("is not a member", "not a member any more"),
    ("is already a member", "a member already"),
    ("already in cluster", "a member already"),
    ("not in a cluster", "not a member any more"),
    ("was cancelled", "cancelled"),
    ("were cancelled", "cancelled"),
    ("is not running", "a container that does not run"),
    ("exited", "a container that ends at once"),
    // dockerd was killed between containerd's start and its own record of it: the
    // container starts only after dockerd is started anew (moby's "task already exists").
    (": already exists", "a daemon at odds with its containerd"),
];

/// Clusters and nodes that cannot work, by id.
async fn odd(db: &TestDb) -> anyhow::Result<BTreeMap<String, &'static str>> {
    let query = "FROM events WHERE oname LIKE '%-pit-%' OR oname LIKE '%-crash-%'";
    let kind = |row: &Vec<String>| {
        if at(row, 1).contains("-pit-") {
            "the registry that never ends"
        } else {
            "a container that ends at once"
        }
    };
    let all = rows(db, &["oid", "oname"], query).await?;
    Ok(all.iter().map(|row| (at(row, 0).to_owned(), kind(row))).collect())
}

/// The kind of a failure that nobody but the asker is to blame for.
fn own_doing(reason: &str) -> Option<&'static str> {
    let (_, kind) = OWN_DOING.iter().find(|(word, _)| reason.contains(word))?;
    Some(kind)
}

/// A reason without what makes it one of its kind: ids, numbers, names.
fn shape(reason: &str) -> String {
    let word = |w: &str| {
        let names = w.chars().any(|c| c.is_ascii_digit());
        if names { "#".to_owned() } else { w.to_owned() }
    };
    let shaped: Vec<String> = reason.split(' ').map(word).collect();
    shaped.join(" ").chars().take(180).collect()
}

/// A table of why actions failed.
pub(crate) async fn reasons(db: &TestDb, report: &mut Report) -> anyhow::Result<()> {
    let relation = records::actions(db).await?;
    let odd = odd(db).await?;
    let failed = rows(
        db,
        &[
            "a.action",
            "a.target",
            "a.status_reason",
            // A parent fails with its children: they are counted, it is not.
            &format!("EXISTS (SELECT 1 FROM {relation} k WHERE k.parent_id = a.id AND k.status <> 'SUCCEEDED')"),
            "a.cluster_id",
            "a.id",
        ],
        &format!("FROM {relation} a WHERE a.status = 'FAILED' ORDER BY a.created_at"),
    )
    .await?;
    let mut table = BTreeMap::<(bool, String, String), (u32, String)>::new();
    let (mut mendable, mut parents) = (0, 0);
    for row in &failed {
        if at(row, 3) == "true" {
            parents += 1;
            continue;
        }
        let odd = odd.get(at(row, 1)).or_else(|| odd.get(at(row, 4)));
        let kind = odd.copied().or_else(|| own_doing(at(row, 2)));
        let (action, told) = (
            at(row, 0).to_owned(),
            kind.map_or_else(|| shape(at(row, 2)), str::to_owned),
        );
        if kind.is_none() {
            mendable += 1;
        }
        let entry = table.entry((kind.is_some(), action, told)).or_default();
        entry.0 += 1;
        entry.1 = at(row, 5).to_owned();
    }
    report.note(&format!(
        "{} actions failed, {parents} of them because a child did",
        failed.len()
    ));
    let mut lines = Vec::new();
    for ((own, action, told), (count, last)) in table {
        let whose = if own {
            "its own doing"
        } else {
            "WAITING WOULD HAVE MENDED IT"
        };
        lines.push(vec![count.to_string(), action, whose.to_owned(), told, last]);
    }
    report.table(&["failed", "action", "whose", "reason", "the last one"], lines);
    report.add(
        "actions that failed for what waiting would have mended",
        &mendable.to_string(),
        mendable == 0,
    );
    Ok(())
}

fn quantiles(mut times: Vec<f64>) -> String {
    times.sort_by(f64::total_cmp);
    let of = |part: usize| {
        times
            .get((times.len() * part / 100).min(times.len().saturating_sub(1)))
            .copied()
            .unwrap_or(f64::NAN)
    };
    format!(
        "{} of them: p50 {:.1} s, p99 {:.1} s, max {:.1} s",
        times.len(),
        of(50),
        of(99),
        of(100)
    )
}

/// How long creations of nodes took that had nothing to do with the registry
/// that never ends: all, and those during which nothing but containers and
/// engines was struck.
pub(crate) async fn latencies(db: &TestDb, report: &mut Report, plan: &[Blow], begun_at: f64) -> anyhow::Result<()> {
    let relation = records::actions(db).await?;
    let made = rows(
        db,
        &[
            "extract(epoch FROM created_at)",
            "extract(epoch FROM ended_at)",
            "target",
        ],
        &format!(
            "FROM {relation} a WHERE action = 'NODE_CREATE' AND status = 'SUCCEEDED' AND ended_at IS NOT NULL
            AND project LIKE 'tenant-%'"
        ),
    )
    .await?;
    let struck: Vec<(f64, f64)> = plan
        .iter()
        .filter(|b| !matches!(b.subject, Subject::Container(_) | Subject::Engine(_)))
        .map(|b| {
            let from = begun_at + b.at.as_secs_f64();
            // What follows a fault belongs to it for a while.
            (from, from + (b.lasts + Duration::from_secs(15)).as_secs_f64())
        })
        .collect();
    let (mut all, mut calm) = (Vec::new(), Vec::new());
    let odd = odd(db).await?;
    for row in made.iter().filter(|row| !odd.contains_key(at(row, 2))) {
        let (Ok(from), Ok(to)) = (at(row, 0).parse::<f64>(), at(row, 1).parse::<f64>()) else {
            continue;
        };
        all.push(to - from);
        if struck.iter().all(|(a, b)| to < *a || from > *b) {
            calm.push(to - from);
        }
    }
    report.note(&format!("creations of nodes: {}", quantiles(all)));
    report.note(&format!(
        "creations of nodes while no server and no host was struck: {}",
        quantiles(calm)
    ));
    Ok(())
}

/// What no log may have.
const BAD: [&str; 9] = [
    "panicked",
    "check constraint",
    "deadlock detected",
    "violates",
    "relation \"",
    "relation \\\"",
    "duplicate key",
    "syntax error",
    "cannot affect row",
];

/// Looks for what must not be in the logs of the programs.
pub(crate) fn logs(logs: &str, report: &mut Report) {
    let bad: Vec<&str> = logs.lines().filter(|l| BAD.iter().any(|b| l.contains(b))).collect();
    bad.iter()
        .take(10)
        .for_each(|l| report.note(&format!("log: {}", l.chars().take(400).collect::<String>())));
    report.add(
        "database errors and panics in logs",
        &bad.len().to_string(),
        bad.is_empty(),
    );
}

/// What PostgreSQL itself complained of, by kind.
pub(crate) fn complaints(log: &str, report: &mut Report) {
    let mut kinds = BTreeMap::<String, u32>::new();
    for line in log.lines() {
        if let Some((_, what)) = line.split_once("ERROR:  ") {
            *kinds.entry(shape(what)).or_default() += 1;
        }
    }
    let deadlocks: u32 = kinds
        .iter()
        .filter(|(k, _)| {
            ["deadlock", "check constraint", "cannot affect row"]
                .iter()
                .any(|w| k.contains(w))
        })
        .map(|(_, n)| n)
        .sum();
    let lines = kinds.into_iter().map(|(k, n)| vec![n.to_string(), k]).collect();
    report.table(&["errors", "in the log of PostgreSQL"], lines);
    report.add(
        "deadlocks and broken constraints in the log of PostgreSQL",
        &deadlocks.to_string(),
        deadlocks == 0,
    );
}
