//! Whether what has ended costs those who work and those who look.

use std::time::Instant;

use anyhow::{Context, ensure};
use senlin_core::ids::ServiceId;
use senlin_db::queue::{self, Limits};
use senlin_testkit::TestDb;
use senlin_tests::programs::Plane;

use crate::Table;

const ENDED: i64 = 10_000_000;
/// Of these, so many have ended only now.
const LATELY: i64 = 100_000;
const READY: i64 = 20_000;
const ROUNDS: usize = 20;

pub(crate) async fn history(table: &mut Table) -> anyhow::Result<()> {
    let plane = Plane::durable(0, "").await?;
    let db = &plane.db;
    fill(db).await?;
    claim(table, db).await?;
    newest(table, &plane).await?;
    // So much is not left on the server.
    let all = if exists(db, "ended_actions").await? {
        "actions, ended_actions"
    } else {
        "actions"
    };
    db.execute(&format!("TRUNCATE {all} CASCADE")).await
}

async fn exists(db: &TestDb, relation: &str) -> anyhow::Result<bool> {
    Ok(db.count(&format!("SELECT count(to_regclass('{relation}'))")).await? == 1)
}

/// Ended actions where the schema keeps them, and READY ones in 40 projects on 100 hosts.
async fn fill(db: &TestDb) -> anyhow::Result<()> {
    let apart = exists(db, "ended_actions").await?;
    if apart {
        ended(db, "ended_actions", 0, ENDED).await?;
        ended(db, "actions", ENDED, LATELY).await?;
    } else {
        ended(db, "actions", 0, ENDED).await?;
    }
    let profile = "'00000000-0000-0000-0000-000000000000'";
    db.execute(&format!(
        "INSERT INTO profiles (id, name, type, spec, user_id, project)
            VALUES ({profile}, 'p', 'container.dockerinc.docker-1.1', '{{}}', 'u', 'p0');
        INSERT INTO nodes (id, name, profile_id, user_id, project, index, status)
            SELECT gen_random_uuid(), 'n' || i, {profile}, 'u', 'p' || i % 40, i, 'INIT'
            FROM generate_series(1, {READY}) i;
        INSERT INTO actions (id, name, action, target, cause, lock_scope, host_id, status, timeout, user_id, project)
            SELECT gen_random_uuid(), 'create', 'NODE_CREATE', id, 'Derived Action', 'NODE',
                md5('host' || index / 40 % 100)::uuid, 'READY', 3600, 'u', project FROM nodes;
        ANALYZE"
    ))
    .await
}

/// Inserts ended actions. Indexes are dropped before and made anew after: one
/// by one they would take an hour.
async fn ended(db: &TestDb, relation: &str, first: i64, count: i64) -> anyhow::Result<()> {
    let of = format!("FROM pg_index WHERE indrelid = '{relation}'::regclass AND NOT indisprimary");
    let indexes = if count > 1_000_000 {
        let made = format!("SELECT replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON ') {of}");
        let made = db.column(&made).await?;
        let gone = format!("SELECT 'DROP INDEX ' || indexrelid::regclass {of}");
        db.execute(&db.column(&gone).await?.join(";")).await?;
        made
    } else {
        Vec::new()
    };
    let known = [
        ("id", "lpad(to_hex(i), 32, '0')::uuid"),
        ("name", "'create'"),
        ("action", "'NODE_CREATE'"),
        ("target", "md5('n' || i)::uuid"),
        ("cluster_id", "md5('c' || i % 1000)::uuid"),
        ("cause", "'RPC Request'"),
        ("lock_scope", "'NODE'"),
        ("status", "'SUCCEEDED'"),
        ("status_reason", "'The node was created.'"),
        ("phase", "''"),
        ("inputs", "'{}'"),
        ("outputs", "'{}'"),
        ("data", "'{}'"),
        ("attempt", "1"),
        ("retries", "0"),
        ("interval", "-1"),
        ("timeout", "3600"),
        ("user_id", "'u'"),
        ("project", "CASE WHEN i % 40 = 0 THEN 'demo' ELSE 'p' || i % 40 END"),
        ("request_id", "''"),
        ("created_at", "now() - make_interval(secs => 0.2 * ({all} - i))"),
        ("updated_at", "now() - make_interval(secs => 0.2 * ({all} - i))"),
        ("started_at", "now() - make_interval(secs => 0.2 * ({all} - i))"),
        ("ended_at", "now() - make_interval(secs => 0.2 * ({all} - i))"),
    ];
    let there = format!("SELECT column_name FROM information_schema.columns WHERE table_name = '{relation}'");
    let there = db.column(&there).await?;
    let known = known.iter().filter(|(column, _)| there.iter().any(|t| t == column));
    let (columns, values): (Vec<&str>, Vec<&str>) = known.copied().unzip();
    let values = values.join(", ").replace("{all}", &(ENDED + LATELY).to_string());
    let insert = |from: i64, to: i64| {
        format!(
            "INSERT INTO {relation} ({}) SELECT {values} FROM generate_series({from}::bigint, {to}) i",
            columns.join(", ")
        )
    };
    let half = first + count / 2;
    let (one, two) = (insert(first + 1, half), insert(half + 1, first + count));
    tokio::try_join!(db.execute(&one), db.execute(&two))?;
    for index in indexes {
        db.execute(&format!("SET maintenance_work_mem = '1GB'; {index}"))
            .await?;
    }
    Ok(())
}

/// One claim after another, as an engine does.
async fn claim(table: &mut Table, db: &TestDb) -> anyhow::Result<()> {
    let limits = Limits {
        per_project: 96,
        per_host: 16,
        lease: 60,
    };
    let mut conn = db.db.session();
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        // Another engine each time: what one runs already makes its claims smaller.
        let engine = ServiceId::random();
        let begun = Instant::now();
        let claimed = queue::claim_nodes(&mut conn, engine, 64, limits).await?;
        times.push(begun.elapsed().as_secs_f64() * 1000.0);
        // Projects leave each other room: not every slot is taken at once.
        ensure!((48..=64).contains(&claimed.len()), "{} were claimed", claimed.len());
    }
    add(
        table,
        "a claim into 64 slots out of 20,000 READY in 40 projects, beside 10 million ended actions",
        times,
        20.0,
    )
}

/// The newest actions through the API.
async fn newest(table: &mut Table, plane: &Plane) -> anyhow::Result<()> {
    for (whose, more) in [("a project", ""), ("an admin, of all projects", "&global_project=true")] {
        let path = format!("/v1/actions?limit=100&sort=created_at:desc{more}");
        let (mut times, all) = (Vec::new(), Instant::now());
        // One that is far from its goal need not be asked so often.
        while times.len() < ROUNDS && all.elapsed().as_secs() < 5 {
            let begun = Instant::now();
            let list = plane.client.get(&path).await?;
            times.push(begun.elapsed().as_secs_f64() * 1000.0);
            let length = list.get("actions").and_then(|a| a.as_array()).context("actions")?.len();
            ensure!(length == 100, "{length} actions");
        }
        let what = format!("GET /v1/actions, the newest 100 of {whose}, at that size");
        add(table, &what, times, 10.0)?;
    }
    Ok(())
}

/// The first of them finds caches cold, so the median counts.
fn add(table: &mut Table, what: &str, mut times: Vec<f64>, most: f64) -> anyhow::Result<()> {
    times.sort_by(f64::total_cmp);
    let median = times.get(times.len() / 2).copied().context("no times")?;
    let worst = times.last().copied().context("no times")?;
    table.add(
        &format!("{what}, median of {}", times.len()),
        format!("{median:.1} ms, worst {worst:.1} ms"),
        &format!("under {most:.0} ms"),
        median < most,
    );
    Ok(())
}
