//! The benchmark: both sides of each comparison in one run, as a table.
//!
//! `bench [name …]`: the parts that are named, or all of them. Their lines in
//! docs/performance.md are written anew, and the others stay.

use std::{fmt::Write as _, time::Instant};

use anyhow::ensure;
use senlin_core::{
    host::HostState,
    ids::NodeId,
    placement::{HostSnapshot, Requirements, Rules, Strategy},
};
use senlin_policies::placement::Planner;
use senlin_tests::programs::Plane;

mod control;
mod decisions;
mod docker;
mod fleet;
mod history;
mod lists;
mod planners;
mod reads;

/// The parts, in order.
const PARTS: [&str; 12] = [
    "placement",
    "control",
    "reads",
    "lists",
    "history",
    "planners",
    "decisions",
    "sweeps",
    "beats",
    "real",
    "idle",
    "docker",
];

struct Row {
    part: &'static str,
    what: String,
    seen: String,
    goal: String,
    met: bool,
}

#[derive(Default)]
struct Table {
    rows: Vec<Row>,
    /// What is being measured.
    part: &'static str,
}

impl Table {
    fn add(&mut self, what: &str, seen: String, goal: &str, met: bool) {
        self.rows.push(Row {
            part: self.part,
            what: what.to_owned(),
            seen,
            goal: goal.to_owned(),
            met,
        });
    }

    /// The lines of these parts, in their order; of those that were not
    /// measured, the ones that `before` has.
    fn render(&self, before: &str) -> String {
        let mut out = String::from("| part | what | seen | goal | met |\n|---|---|---|---|---|\n");
        for part in PARTS {
            let of_part = format!("| {part} | ");
            let mut rows = self.rows.iter().filter(|r| r.part == part).peekable();
            if rows.peek().is_none() {
                before.lines().filter(|l| l.starts_with(&of_part)).for_each(|line| {
                    let _ = writeln!(out, "{line}");
                });
            }
            for row in rows {
                let met = if row.met { "yes" } else { "no" };
                let _ = writeln!(out, "{of_part}{} | {} | {} | {met} |", row.what, row.seen, row.goal);
            }
        }
        out
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    for name in &wanted {
        ensure!(PARTS.contains(&name.as_str()), "'{name}' is none of {PARTS:?}");
    }
    let mut table = Table::default();
    for part in PARTS {
        if wanted.is_empty() || wanted.iter().any(|w| w == part) {
            let begun = Instant::now();
            table.part = part;
            // What cannot be measured keeps nothing else from being.
            if let Err(error) = measure(part, &mut table).await {
                table.add(part, format!("{error:#}"), "to be measured", false);
            }
            tell(&format!("{part}: {:.0} s", begun.elapsed().as_secs_f64()));
        }
    }
    write(&table)?;
    tell(&table.render(""));
    Ok(())
}

async fn measure(part: &str, table: &mut Table) -> anyhow::Result<()> {
    match part {
        "placement" => placement(table),
        "control" => control::control(table).await?,
        "reads" => reads::reads(table).await?,
        "lists" => lists::lists(table).await?,
        "history" => history::history(table).await?,
        "planners" => planners::planners(table).await?,
        "decisions" => decisions::evaluations(table)?,
        "sweeps" => fleet::sweeps(table).await?,
        "beats" => fleet::beats(table).await?,
        "real" => decisions::real(table).await?,
        "idle" => control::idle(table).await?,
        _ => docker::real_docker(table).await?,
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "this is what the benchmark is for")]
fn tell(text: &str) {
    println!("{text}");
}

/// Decisions over simulated snapshots, one thread.
fn placement(table: &mut Table) {
    for (hosts, least) in [(1000_u128, 10_000.0), (5000, 2000.0)] {
        let snapshot: Vec<HostSnapshot> = (0..hosts)
            .map(|n| HostSnapshot {
                id: NodeId(uuid::Uuid::from_u128(n)),
                name: format!("host-{n}"),
                cluster_id: None,
                state: HostState::Up,
                seen_lately: true,
                closed: false,
                cpu_millis: 64_000,
                memory: 256 << 30,
                cpu_used: 0,
                memory_used: 0,
                containers: 0,
                siblings: 0,
                ports: Vec::new(),
                labels: std::collections::BTreeMap::new(),
                cpu_load: None,
                memory_load: None,
                cpu_since: 0,
                memory_since: 0,
                failures: 0,
            })
            .collect();
        for strategy in [Strategy::Spread, Strategy::Random] {
            let needs = Requirements {
                memory: 64 << 20,
                cpu_millis: 100,
                ..Requirements::default()
            };
            let begun = Instant::now();
            let mut planner = Planner::new(snapshot.clone(), Rules::of(strategy), 1);
            let placed = (0..10_000).filter(|_| planner.place(&needs).is_ok()).count();
            let rate = 10_000.0 / begun.elapsed().as_secs_f64();
            table.add(
                &format!("10,000 placements over {hosts} hosts, {strategy:?} ({placed} placed)"),
                format!("{rate:.0}/s"),
                &format!("{least:.0}/s"),
                rate >= least,
            );
        }
    }
}

/// Statements that this database has run so far.
async fn statements(plane: &Plane) -> anyhow::Result<f64> {
    let query = "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid \
                 WHERE d.datname = current_database()";
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let calls = plane.db.count(query).await? as f64;
    Ok(calls)
}

fn write(table: &Table) -> anyhow::Result<()> {
    let cores = std::thread::available_parallelism()?;
    let memory = std::fs::read_to_string("/proc/meminfo")?;
    let total: f64 = memory
        .lines()
        .find_map(|l| l.strip_prefix("MemTotal:"))
        .and_then(|l| l.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0.0);
    let path = senlin_testkit::workspace().join("docs/performance.md");
    let rendered = table.render(&std::fs::read_to_string(&path).unwrap_or_default());
    let text = format!(
        "# Performance\n\nWritten by `make bench` on a machine with {cores} cores and {:.0} GiB, everything on it: \
         programs, PostgreSQL (fsync on for the control plane), RabbitMQ, Docker, and the load itself.\n\n{rendered}\n\
         Senlin itself, for comparison: about 11 nodes/s and 92 statements per node (100 nodes, sqlite, one process, \
         a driver of zero latency).\n",
        total / 1_048_576.0
    );
    std::fs::write(path, text)?;
    Ok(())
}
