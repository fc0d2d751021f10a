//! Test databases and services. Only ever a dev-dependency.
//!
//! Services that are missing make a test fail, not pass: `scripts/services.sh`
//! starts them.

pub mod gate;
pub mod proxy;
pub mod records;

use std::{future::Future, path::PathBuf, process::Command, sync::Once, time::Duration};

use anyhow::Context;
use senlin_core::secret::Secret;
use senlin_db::Db;
use tokio::sync::OnceCell;
use tokio_postgres::NoTls;

/// The folder of the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    let mut dir = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    dir.pop();
    dir.pop();
    dir
}

/// Runs `scripts/services.sh` with one word.
///
/// # Errors
/// What the script printed.
pub fn services(word: &str) -> anyhow::Result<String> {
    let out = Command::new(workspace().join("scripts/services.sh"))
        .arg(word)
        .output()
        .context("run services.sh")?;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    anyhow::ensure!(out.status.success(), "services.sh {word}: {said}");
    Ok(said)
}

fn variable(name: &str) -> anyhow::Result<String> {
    static STARTED: Once = Once::new();
    let mut failed = Ok(String::new());
    STARTED.call_once(|| failed = services("start"));
    failed?;
    let all = services("env")?;
    all.lines()
        .find_map(|l| l.strip_prefix(name)?.strip_prefix('='))
        .map(str::to_owned)
        .with_context(|| format!("services.sh env does not tell {name}"))
}

/// Where RabbitMQ is.
///
/// # Errors
/// When it cannot be started.
pub fn amqp_url() -> anyhow::Result<Secret> {
    variable("SENLIN_TEST_AMQP_URL").map(Secret::new)
}

async fn admin(url: &str) -> anyhow::Result<tokio_postgres::Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// A database of a test's own, made from a template.
pub struct TestDb {
    admin_url: String,
    name: String,
    /// The pool.
    pub db: Db,
    url: String,
    /// For what the test itself asks.
    own: tokio::sync::Mutex<Option<tokio_postgres::Client>>,
}

impl TestDb {
    /// A fresh database with the present schema.
    ///
    /// # Errors
    /// When PostgreSQL cannot be started or used.
    pub async fn new() -> anyhow::Result<Self> {
        static TEMPLATE: OnceCell<String> = OnceCell::const_new();
        let admin_url = variable("SENLIN_TEST_PG_URL")?;
        let template = TEMPLATE.get_or_try_init(|| template(admin_url.clone())).await?;
        Self::copy(admin_url, template).await
    }

    /// The same on the server with fsync on (`services.sh start-durable`).
    ///
    /// # Errors
    /// As [`Self::new`].
    pub async fn durable() -> anyhow::Result<Self> {
        let admin_url = variable("SENLIN_BENCH_PG_URL")?;
        let template = template(admin_url.clone()).await?;
        Self::copy(admin_url, &template).await
    }

    /// A database with nothing in it, for somebody else's program.
    ///
    /// # Errors
    /// When PostgreSQL cannot be reached.
    pub async fn empty() -> anyhow::Result<Self> {
        Self::copy(variable("SENLIN_TEST_PG_URL")?, "template0").await
    }

    /// A database that is there already, on a server of the test's own.
    ///
    /// # Errors
    /// When the URL cannot be understood.
    pub fn at(url: &str) -> anyhow::Result<Self> {
        let name = url.rsplit_once('/').map_or("", |(_, name)| name);
        Ok(Self {
            admin_url: url.to_owned(),
            name: name.split('?').next().unwrap_or_default().to_owned(),
            db: Db::connect(&Secret::new(url), 4)?,
            url: url.to_owned(),
            own: tokio::sync::Mutex::default(),
        })
    }

    async fn copy(admin_url: String, template: &str) -> anyhow::Result<Self> {
        let name = format!("senlin_test_{}", uuid::Uuid::new_v4().simple());
        admin(&admin_url)
            .await?
            .batch_execute(&format!(
                "CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY"
            ))
            .await?;
        let url = admin_url.replace("/postgres", &format!("/{name}"));
        let db = Db::connect(&Secret::new(url.clone()), 16)?;
        Ok(Self {
            admin_url,
            name,
            db,
            url,
            own: tokio::sync::Mutex::default(),
        })
    }

    /// Where it is, for programs.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A connection of its own, for transactions that stay open.
    pub async fn session(&self) -> anyhow::Result<tokio_postgres::Client> {
        admin(&self.url).await
    }

    /// The test's own connection, made anew when it is lost.
    async fn own(&self) -> anyhow::Result<tokio::sync::MutexGuard<'_, Option<tokio_postgres::Client>>> {
        let mut own = self.own.lock().await;
        if own.as_ref().is_none_or(tokio_postgres::Client::is_closed) {
            *own = Some(admin(&self.url).await?);
        }
        Ok(own)
    }

    /// Runs statements.
    pub async fn execute(&self, statements: &str) -> anyhow::Result<()> {
        let own = self.own().await?;
        Ok(own.as_ref().context("a connection")?.batch_execute(statements).await?)
    }

    /// The first column of every row, as text.
    pub async fn column(&self, query: &str) -> anyhow::Result<Vec<String>> {
        let own = self.own().await?;
        let messages = own.as_ref().context("a connection")?.simple_query(query).await?;
        Ok(messages
            .into_iter()
            .filter_map(|m| match m {
                tokio_postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).unwrap_or("").to_owned()),
                _ => None,
            })
            .collect())
    }

    /// A number that a query answers.
    ///
    /// # Errors
    /// When it answers none.
    pub async fn count(&self, query: &str) -> anyhow::Result<i64> {
        let rows = self.column(query).await?;
        Ok(rows.first().context("no row")?.parse()?)
    }

    /// Waits until so many sessions wait for a lock of another one.
    ///
    /// # Errors
    /// When they do not within ten seconds.
    pub async fn waiting(&self, sessions: i64) -> anyhow::Result<()> {
        let query =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        until("sessions that wait for a lock", Duration::from_secs(10), || async {
            let found = self.count(query).await?;
            anyhow::ensure!(found >= sessions, "{found} wait");
            Ok(())
        })
        .await
    }

    /// Drops it.
    pub async fn close(self) -> anyhow::Result<()> {
        self.db.close();
        Ok(admin(&self.admin_url)
            .await?
            .batch_execute(&format!("DROP DATABASE {} WITH (FORCE)", self.name))
            .await?)
    }
}

/// One template per schema: its name carries a hash of the migrations.
async fn template(admin_url: String) -> anyhow::Result<String> {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut files: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(workspace().join("crates/db/migrations"))? {
        files.push(entry?.path().join("up.sql"));
    }
    files.sort();
    for file in files {
        for byte in std::fs::read(file)? {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    let name = format!("senlin_template_{hash:016x}");
    let client = admin(&admin_url).await?;
    // Test binaries may come here at the same time.
    client.batch_execute("SELECT pg_advisory_lock(7306)").await?;
    let there = client
        .query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[&name])
        .await?;
    if there.is_none() {
        let making = format!("{name}_making");
        client
            .batch_execute(&format!("DROP DATABASE IF EXISTS {making} WITH (FORCE)"))
            .await?;
        client.batch_execute(&format!("CREATE DATABASE {making}")).await?;
        senlin_db::migrate(&Secret::new(admin_url.replace("/postgres", &format!("/{making}")))).await?;
        client
            .batch_execute(&format!("ALTER DATABASE {making} RENAME TO {name}"))
            .await?;
    }
    client.batch_execute("SELECT pg_advisory_unlock(7306)").await?;
    Ok(name)
}

/// Asks again and again until the answer is there.
///
/// # Errors
/// When it is not there in time; says for what it waited, and the last answer.
pub async fn until<T, F>(what: &str, within: Duration, mut ask: impl FnMut() -> F) -> anyhow::Result<T>
where
    F: Future<Output = anyhow::Result<T>>,
{
    let end = tokio::time::Instant::now() + within;
    loop {
        match ask().await {
            Ok(value) => return Ok(value),
            Err(error) if tokio::time::Instant::now() >= end => {
                return Err(error.context(format!("waited {within:?} for {what}")));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
