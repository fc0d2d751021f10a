//! Whether a list costs more when others have made much of what is in it.

use std::time::Instant;

use anyhow::{Context, ensure};
use senlin_tests::programs::Plane;

use crate::Table;

const ROUNDS: usize = 300;

pub(crate) async fn lists(table: &mut Table) -> anyhow::Result<()> {
    let few = world(10).await?;
    let many = world(10_000).await?;
    let (mut of_few, mut of_many) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // In turn, so that what else the machine does meets both.
        let (a, b) = (ask(&few).await?, ask(&many).await?);
        if round >= ROUNDS / 10 {
            of_few.push(a);
            of_many.push(b);
        }
    }
    let (few, many) = (median(of_few)?, median(of_many)?);
    table.add(
        "GET /v1/clusters of 100 when 10,000 profiles name one of them as their hosts, against 10 (medians, in turn)",
        format!("{many:.2} ms against {few:.2} ms: ratio {:.2}", many / few),
        "ratio at most 1.10",
        many / few <= 1.10,
    );
    Ok(())
}

/// 100 clusters, the first one of hosts, and profiles that name it.
async fn world(profiles: u32) -> anyhow::Result<Plane> {
    let plane = Plane::durable(0, "").await?;
    let spec = "{\"type\": \"container.dockerinc.docker\", \"version\": \"1.1\", \"properties\": {\"image\": \"x\"}}";
    let values = format!("'container.dockerinc.docker-1.1', '{spec}', 'u', 'demo'");
    plane
        .db
        .execute(&format!(
            "INSERT INTO profiles (id, name, type, spec, user_id, project)
                SELECT gen_random_uuid(), 'own', {values};
            INSERT INTO clusters (id, name, profile_id, user_id, project, min_size, max_size, desired_capacity,
                timeout, status)
                SELECT gen_random_uuid(), 'c' || i, (SELECT id FROM profiles), 'u', 'demo', 0, -1, 3, 3600, 'ACTIVE'
                FROM generate_series(1, 100) i;
            INSERT INTO nodes (id, name, cluster_id, profile_id, user_id, project, index, status, physical_id)
                SELECT gen_random_uuid(), 'n' || i, c.id, c.profile_id, 'u', 'demo', i, 'ACTIVE',
                    gen_random_uuid()::text
                FROM clusters c, generate_series(1, 3) i;
            INSERT INTO profiles (id, name, type, spec, user_id, project, host_cluster_id)
                SELECT gen_random_uuid(), 'p' || i, {values}, (SELECT id FROM clusters WHERE name = 'c1')
                FROM generate_series(1, {profiles}) i;
            ANALYZE"
        ))
        .await?;
    Ok(plane)
}

/// Milliseconds of one list.
async fn ask(plane: &Plane) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let list = plane.client.get("/v1/clusters").await?;
    let took = begun.elapsed().as_secs_f64() * 1000.0;
    let length = list
        .get("clusters")
        .and_then(|c| c.as_array())
        .context("clusters")?
        .len();
    ensure!(length == 100, "{length} clusters");
    Ok(took)
}

fn median(mut times: Vec<f64>) -> anyhow::Result<f64> {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().context("no times")
}
