//! What engines do unasked: each task runs, and what became of it is told.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use prometheus_client::{encoding::text::encode, registry::Registry};
use senlin_db::DbError;
use senlin_engine::{
    Engine, Settings,
    failure::Failure,
    metrics::Metrics,
    tasks::runner::{Scope, Task, run_all},
};
use senlin_testkit::until;
use tokio_util::sync::CancellationToken;

use crate::world::World;

/// Fails every other time.
struct Flaky;

static RUNS: AtomicUsize = AtomicUsize::new(0);

impl Task for Flaky {
    type Item = usize;
    const NAME: &'static str = "flaky";

    fn period(_: &Settings) -> Option<Duration> {
        None
    }

    async fn due(_: &Arc<Engine>, scope: Scope) -> Result<Vec<usize>, DbError> {
        assert_eq!(scope, Scope::All);
        Ok(vec![RUNS.fetch_add(1, Ordering::Relaxed)])
    }

    async fn run_one(_: &Arc<Engine>, run: usize) -> Result<(), Failure> {
        if run.is_multiple_of(2) {
            return Err(Failure::NotYet("not this time".to_owned()));
        }
        Ok(())
    }
}

async fn counting(world: &World) -> (Arc<Engine>, Registry) {
    let mut registry = Registry::default();
    let mut parts = world.parts(world.db.db.clone());
    parts.metrics = Metrics::registered(&mut registry);
    (Engine::new(parts).await.unwrap(), registry)
}

fn text(registry: &Registry) -> String {
    let mut text = String::new();
    encode(&mut text, registry).unwrap();
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_result_of_a_task_is_told() {
    let world = World::new(1).await;
    let (engine, registry) = counting(&world).await;
    for (last, failed, succeeded) in [(0, 1, 0), (1, 1, 1), (0, 2, 1)] {
        assert_eq!(run_all::<Flaky>(&engine).await.unwrap(), 1);
        let text = text(&registry);
        let of = |result: &str, n: u32| match n {
            0 => !text.contains(&format!("task_runs_total{{task=\"flaky\",result=\"{result}\"}}")),
            n => text.contains(&format!("task_runs_total{{task=\"flaky\",result=\"{result}\"}} {n}\n")),
        };
        assert!(of("failure", failed) && of("success", succeeded), "{text}");
        let line = format!("senlin_engine_task_last_result{{task=\"flaky\"}} {last}\n");
        assert!(text.contains(&line), "{line} in {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_task_runs_and_ends_with_its_engine() {
    let world = World::new(1).await;
    let (engine, registry) = counting(&world).await;
    let stop = CancellationToken::new();
    let running = tokio::spawn(engine.run(stop.clone()));
    let names = [
        "departed",
        "fleet",
        "health",
        "heartbeat",
        "hooks",
        "load",
        "rebalance",
        "retention",
        "sweeper",
        "target_tracking",
        "watches",
    ];
    until("every task to have run", Duration::from_secs(60), async || {
        let text = text(&registry);
        for name in names {
            let line = format!("senlin_engine_task_last_result{{task=\"{name}\"}} 1\n");
            anyhow::ensure!(text.contains(&line), "{line} in {text}");
        }
        let told = text.matches("senlin_engine_task_last_result{").count();
        anyhow::ensure!(told == names.len(), "{told} tasks: add the new one here");
        Ok(())
    })
    .await
    .unwrap();
    stop.cancel();
    running.await.unwrap().unwrap();
}
