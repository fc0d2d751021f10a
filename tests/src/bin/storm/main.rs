//! The storm: three tenants ask two APIs for everything at random, on three
//! real Docker hosts with three engines, while the database, the broker,
//! daemons, engines and containers are frozen, killed, cut off or made to
//! misbehave. When it is over, what was accepted must have ended and what is
//! said must be true.
//!
//! `storm [minutes [seed]]`; 10, and a seed of the moment. Needs root. The same
//! seed makes the same faults at the same times. Evidence of a storm that went
//! wrong is kept in a folder that is named at the end.

#![allow(clippy::print_stdout, reason = "it prints what it did")]

use std::{
    path::PathBuf,
    process::{Command, ExitCode},
    sync::{Arc, PoisonError},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, bail};
use senlin_tests::programs::TENANTS;
use tokio::{
    signal::unix::{SignalKind, signal},
    task::{JoinSet, block_in_place},
};

use crate::{
    plan::{Blow, plan},
    report::Report,
    stage::{ENGINES, HOSTS, Stage},
    tenants::{CLIENTS, Ledger, Tenant},
};

mod network;
mod pit;
mod plan;
mod reasons;
mod records;
mod report;
mod requests;
mod servers;
mod stage;
mod tenants;
mod verdict;

#[tokio::main(flavor = "multi_thread", worker_threads = 4)]
async fn main() -> ExitCode {
    // An error of the storm is no place in its code: no backtrace.
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let chain: Vec<String> = error.chain().map(ToString::to_string).collect();
            println!("error: {}", chain.join(": "));
            ExitCode::FAILURE
        }
    }
}

async fn run() -> anyhow::Result<()> {
    let number = |at: usize| -> anyhow::Result<Option<f64>> {
        let word = std::env::args().nth(at);
        let parsed = word.map(|w| {
            w.parse()
                .with_context(|| format!("'{w}' is no number: storm [minutes [seed]]"))
        });
        parsed.transpose()
    };
    let length = Duration::from_secs_f64(60.0 * number(1)?.unwrap_or(10.0));
    let moment = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() % 1_000_000;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a seed is whole and small"
    )]
    let seed = number(2)?.map_or(moment, |s| s as u64);
    // Whatever ends this program, what it has frozen or cut off is set right again.
    let (mut interrupted, mut terminated) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let right = tokio::select! {
        right = storm(length, seed) => right.with_context(|| format!("the storm with seed {seed}"))?,
        _ = interrupted.recv() => bail!("interrupted; the seed was {seed}"),
        _ = terminated.recv() => bail!("terminated; the seed was {seed}"),
    };
    if !right {
        bail!("the storm with seed {seed} went wrong");
    }
    println!("the storm with seed {seed} is over, and all is right");
    Ok(())
}

async fn storm(length: Duration, seed: u64) -> anyhow::Result<bool> {
    let plan = plan(seed, length, HOSTS, ENGINES);
    let (mut stage, hosts) = Stage::build().await?;
    println!("seed {seed}, {:.1} minutes:", length.as_secs_f64() / 60.0);
    let large = plan.iter().filter(|b| !b.lasts.is_zero());
    large.for_each(|blow| println!("  {blow}"));
    let mut tenants = Vec::new();
    for n in 0..TENANTS {
        tenants.push(Arc::new(Tenant::settle(&stage, n, &hosts).await?));
    }
    stage.begun = Instant::now();
    let begun_at = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64();
    let (stage, ledger) = (Arc::new(stage), Arc::new(Ledger::default()));
    blow(&stage, &plan, &tenants, &ledger, seed, length).await?;
    block_in_place(|| stage.daemons_answer())?;
    stage.pit.end();
    println!("{:7.1} s  every fault is undone", stage.age().as_secs_f64());

    let mut report = Report::default();
    judge(&stage, &ledger, &plan, begun_at, &mut report).await;
    let evidence = keep(&stage, seed).await;
    let right = report.print();
    match evidence {
        Ok(_) if right => {}
        Ok(folder) => println!("logs and a dump of the database: {}", folder.display()),
        Err(error) => println!("the evidence could not be kept: {error:#}"),
    }
    Ok(right)
}

/// All clients and all faults at once, each subject's one after another.
async fn blow(
    stage: &Arc<Stage>,
    plan: &[Blow],
    tenants: &[Arc<Tenant>],
    ledger: &Arc<Ledger>,
    seed: u64,
    length: Duration,
) -> anyhow::Result<()> {
    let mut tasks = JoinSet::new();
    let mut subjects: Vec<_> = plan.iter().map(|b| b.subject).collect();
    subjects.sort();
    subjects.dedup();
    for subject in subjects {
        let own: Vec<Blow> = plan.iter().filter(|b| b.subject == subject).cloned().collect();
        let stage = stage.clone();
        tasks.spawn(async move {
            for blow in own {
                stage.strike(&blow).await?;
            }
            anyhow::Ok(())
        });
    }
    let end = stage.begun + length;
    for (salt, tenant) in (0_u64..).zip(tenants) {
        for client in 0..CLIENTS {
            let seed = seed.wrapping_mul(1009).wrapping_add(salt * CLIENTS + client);
            let (tenant, ledger) = (tenant.clone(), ledger.clone());
            tasks.spawn(async move {
                tenants::work(tenant, ledger, seed, end).await;
                Ok(())
            });
        }
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

async fn judge(stage: &Stage, ledger: &Ledger, plan: &[Blow], begun_at: f64, report: &mut Report) {
    told(stage, ledger, report);
    let ended = stage.ended().await;
    report.add(
        "programs that ended by themselves",
        &format!("{ended:?}"),
        ended.is_empty(),
    );
    let plane = stage.plane.lock().await;
    let db = &plane.db;
    let accepted = ledger.accepted.lock().unwrap_or_else(PoisonError::into_inner).clone();
    // What cannot be judged is wrong, and the rest is judged all the same.
    let mut parts = Vec::new();
    parts.push(verdict::quiet(db, report, "after the storm").await);
    parts.push(verdict::check_all(stage, db, report).await);
    parts.push(verdict::quiet(db, report, "after the checks").await);
    parts.push(verdict::accepted(db, report, &accepted).await);
    parts.push(verdict::truth(stage, db, report).await);
    parts.push(reasons::reasons(db, report).await);
    parts.push(reasons::latencies(db, report, plan, begun_at).await);
    reasons::logs(&plane.logs(), report);
    reasons::complaints(
        &std::fs::read_to_string(stage.servers.log()).unwrap_or_default(),
        report,
    );
    for error in parts.into_iter().filter_map(Result::err) {
        report.add("judged", &format!("{error:#}"), false);
    }
}

/// What was struck, and what the tenants were answered.
fn told(stage: &Stage, ledger: &Ledger, report: &mut Report) {
    let done = stage.done.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let lines = done.into_iter().map(|(what, n)| vec![n.to_string(), what]);
    report.table(&["times", "what was struck"], lines.collect());
    let answers = ledger.answers.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut by_verb = std::collections::BTreeMap::<&str, String>::new();
    for ((verb, status), n) in answers {
        let status = if status == 0 {
            "none".to_owned()
        } else {
            status.to_string()
        };
        by_verb.entry(verb).or_default().push_str(&format!("{status}: {n}  "));
    }
    let lines = by_verb.into_iter().map(|(verb, told)| vec![verb.to_owned(), told]);
    report.table(&["request", "answers"], lines.collect());
    let errors = ledger.errors.lock().unwrap_or_else(PoisonError::into_inner).clone();
    report.note(&format!("{} answers of 500", errors.len()));
    errors.iter().take(5).for_each(|e| report.note(&format!("  {e}")));
}

/// Copies logs and dumps the database.
async fn keep(stage: &Stage, seed: u64) -> anyhow::Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("senlin-storm-{seed}"));
    std::fs::create_dir_all(&folder)?;
    let plane = stage.plane.lock().await;
    for file in std::fs::read_dir(plane.dir())?.flatten() {
        if file.path().extension().is_some_and(|e| e == "log") {
            std::fs::copy(file.path(), folder.join(file.file_name()))?;
        }
    }
    std::fs::copy(stage.servers.log(), folder.join("postgresql.log"))?;
    let mut dump = Command::new("pg_dump");
    dump.arg(format!("--file={}", folder.join("database.sql").display()))
        .arg(plane.db.url());
    anyhow::ensure!(block_in_place(|| dump.status())?.success(), "pg_dump failed");
    Ok(folder)
}
