//! How fast the API answers reads, with a token that Keystone has validated before.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use senlin_tests::{keystone::Keystone, programs::Plane};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{Table, statements};

/// Connections of the load.
const CONNECTIONS: usize = 16;
const SECONDS: u64 = 5;

/// One connection that asks the same again and again.
struct Asker {
    stream: TcpStream,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

impl Asker {
    async fn new(address: &str, path: &str, token: &str) -> anyhow::Result<Self> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nX-Auth-Token: {token}\r\n\
             OpenStack-API-Version: clustering 1.14\r\n\r\n"
        );
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            request: request.into_bytes(),
            buffer: vec![0; 1 << 22],
        })
    }

    /// One request, answered with 200; its body's length.
    async fn ask(&mut self) -> anyhow::Result<usize> {
        self.stream.write_all(&self.request).await?;
        let (mut have, mut want) = (0, None);
        loop {
            let room = self.buffer.get_mut(have..).context("the answer is too long")?;
            let got = self.stream.read(room).await?;
            ensure!(got > 0, "the connection was closed");
            have += got;
            let seen = self.buffer.get(..have).unwrap_or_default();
            if want.is_none()
                && let Some(end) = seen.windows(4).position(|w| w == b"\r\n\r\n")
            {
                let head = String::from_utf8_lossy(seen.get(..end).unwrap_or_default()).to_lowercase();
                ensure!(head.starts_with("http/1.1 200"), "{head}");
                let length = head.lines().find_map(|l| l.strip_prefix("content-length:"));
                let length: usize = length.context("no length")?.trim().parse()?;
                want = Some((end + 4 + length, length));
            }
            if let Some((whole, length)) = want
                && have >= whole
            {
                return Ok(length);
            }
        }
    }
}

/// Answers per second over all connections, and the 99th percentile of times
/// in ms; with a pace, no faster than so many a second.
async fn load(address: &str, path: &str, token: &str, pace: Option<f64>) -> anyhow::Result<(f64, f64)> {
    let mut askers = tokio::task::JoinSet::new();
    let begun = Instant::now();
    let end = begun + Duration::from_secs(SECONDS);
    for _ in 0..CONNECTIONS {
        let mut asker = Asker::new(address, path, token).await?;
        askers.spawn(async move {
            let mut times = Vec::new();
            #[expect(clippy::cast_precision_loss, reason = "a handful of connections")]
            let gap = pace.map(|p| Duration::from_secs_f64(CONNECTIONS as f64 / p));
            let mut next = Instant::now();
            while Instant::now() < end {
                if let Some(gap) = gap {
                    tokio::time::sleep_until(next.into()).await;
                    next += gap;
                }
                let at = Instant::now();
                asker.ask().await?;
                times.push(at.elapsed().as_secs_f64() * 1000.0);
            }
            anyhow::Ok(times)
        });
    }
    let mut times = Vec::new();
    for asker in askers.join_all().await {
        times.extend(asker?);
    }
    let took = begun.elapsed().as_secs_f64();
    times.sort_by(f64::total_cmp);
    let p99 = times.get(times.len() * 99 / 100).copied().unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "thousands of answers")]
    let rate = times.len() as f64 / took;
    Ok((rate, p99))
}

pub(crate) async fn reads(table: &mut Table) -> anyhow::Result<()> {
    let keystone = Keystone::start(7200).await?;
    let token = keystone.scoped("member", "demo").await?;
    let project = keystone.id("projects", "demo").await?;
    let plane = Plane::durable_with_api(0, "", &keystone.settings("")).await?;
    let address = plane.client.base().trim_start_matches("http://").to_owned();
    let user = "'00000000-0000-0000-0000-000000000000', 'p', 'container.dockerinc.docker-1.0', \
                '{\"type\": \"container.dockerinc.docker\", \"version\": \"1.0\", \"properties\": {\"image\": \"x\"}}'";
    plane
        .db
        .execute(&format!(
            "INSERT INTO profiles (id, name, type, spec, user_id, project) VALUES ({user}, 'u', '{project}');
            INSERT INTO clusters (id, name, profile_id, user_id, project, min_size, max_size, desired_capacity,
                timeout, status)
            SELECT gen_random_uuid(), 'c' || i, '00000000-0000-0000-0000-000000000000', 'u', '{project}', 0, -1, 10, 3600,
                'ACTIVE' FROM generate_series(1, 100) i;
            INSERT INTO nodes (id, name, cluster_id, profile_id, user_id, project, index, status, physical_id)
            SELECT gen_random_uuid(), 'n' || i, c.id, c.profile_id, 'u', '{project}', i, 'ACTIVE',
                gen_random_uuid()::text
            FROM clusters c, generate_series(1, 10) i; ANALYZE"
        ))
        .await?;
    let id = plane
        .db
        .column("SELECT id::text FROM clusters LIMIT 1")
        .await?
        .pop()
        .context("a cluster")?;
    for (what, path, goal, most) in [
        ("GET /v1/clusters/{id}", format!("/v1/clusters/{id}"), 5000.0, 1.0),
        (
            "GET /v1/clusters, 100 of 10 nodes each",
            "/v1/clusters".to_owned(),
            300.0,
            3.0,
        ),
    ] {
        Asker::new(&address, &path, &token).await?.ask().await?;
        let before = statements(&plane).await?;
        let mut one = Asker::new(&address, &path, &token).await?;
        for _ in 0..100 {
            one.ask().await?;
        }
        let each = (statements(&plane).await? - before) / 100.0;
        let (rate, _) = load(&address, &path, &token, None).await?;
        let (_, p99) = load(&address, &path, &token, Some(goal / 2.0)).await?;
        table.add(
            &format!("{what}, token validated before"),
            format!("{rate:.0}/s"),
            &format!("{goal:.0}/s"),
            rate >= goal,
        );
        table.add(
            &format!("{what} at half of that goal, p99"),
            format!("{p99:.1} ms"),
            "under 30 ms",
            p99 < 30.0,
        );
        table.add(
            &format!("{what}, SQL statements"),
            format!("{each:.1}"),
            &format!("at most {most:.0}"),
            each < most + 0.5,
        );
    }
    pages(table, &plane, &address, &token, &project).await
}

/// The first and the last page of many nodes.
async fn pages(table: &mut Table, plane: &Plane, address: &str, token: &str, project: &str) -> anyhow::Result<()> {
    plane
        .db
        .execute(&format!(
            "INSERT INTO nodes (id, name, profile_id, user_id, project, index, status, physical_id, init_at)
            SELECT gen_random_uuid(), 'o' || i, '00000000-0000-0000-0000-000000000000', 'u', '{project}', -1, 'ACTIVE',
                gen_random_uuid()::text, now() + make_interval(secs => i) FROM generate_series(1, 100000) i; ANALYZE"
        ))
        .await?;
    let marker = "SELECT id::text FROM nodes ORDER BY init_at DESC, id DESC OFFSET 100 LIMIT 1";
    let marker = plane.db.column(marker).await?.pop().context("a marker")?;
    let mut times = Vec::new();
    for path in [
        "/v1/nodes?limit=100".to_owned(),
        format!("/v1/nodes?limit=100&marker={marker}"),
    ] {
        let mut asker = Asker::new(address, &path, token).await?;
        let mut seen = Vec::new();
        for _ in 0..200 {
            let at = Instant::now();
            asker.ask().await?;
            seen.push(at.elapsed().as_secs_f64() * 1000.0);
        }
        seen.sort_by(f64::total_cmp);
        times.push(seen.get(100).copied().unwrap_or_default());
    }
    let (first, last) = (
        times.first().copied().unwrap_or_default(),
        times.get(1).copied().unwrap_or_default(),
    );
    let apart = (first - last).abs() / first.min(last);
    table.add(
        "a page of 100 out of 100,000 nodes, first and last by marker, median of 200",
        format!("{first:.2} ms and {last:.2} ms: {:.0} % apart", apart * 100.0),
        "within 20 %",
        apart <= 0.2,
    );
    Ok(())
}
