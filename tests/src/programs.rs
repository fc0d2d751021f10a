//! The real programs, started as an operator would.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context;
use senlin_core::secret::Secret;
use senlin_testkit::{TestDb, amqp_url, until};

use crate::{http::Client, ports::free_port};

/// The token of the tests' user, an admin of project `demo`.
pub const TOKEN: &str = "test-token";

/// The token of a reader of the same project.
pub const READER: &str = "test-reader-token";

/// Where a program is: beside this one, debug for tests, release for the benchmark.
///
/// # Errors
/// When this one is nowhere.
pub fn path(name: &str) -> anyhow::Result<PathBuf> {
    let mut dir = std::env::current_exe()?;
    dir.pop();
    if dir.ends_with("deps") {
        dir.pop();
    }
    Ok(dir.join(name))
}

/// Projects with a member of their own each, whose token is [`tenant_token`].
pub const TENANTS: usize = 3;

/// The token of the member of project `tenant-<n>`.
#[must_use]
pub fn tenant_token(n: usize) -> String {
    format!("test-tenant-{n}-token")
}

/// A program that runs.
pub struct Program {
    child: Child,
    /// Where its log is.
    pub log: PathBuf,
}

impl Program {
    /// Starts `name` with a settings file.
    ///
    /// # Errors
    /// When it was not built.
    pub fn start(name: &str, settings: &Path, tag: &str) -> anyhow::Result<Self> {
        let log = settings.with_file_name(format!("{tag}.log"));
        let out = fs::File::options().create(true).append(true).open(&log)?;
        let child = Command::new(path(name)?)
            .arg(settings)
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .spawn()
            .with_context(|| format!("start {name}: run 'cargo build --workspace --bins' first"))?;
        Ok(Self { child, log })
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has not ended.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends it a signal, such as `-STOP`.
    pub fn signal(&self, signal: &str) {
        let _ = Command::new("kill").args([signal, &self.pid().to_string()]).status();
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Whether it ended well; waits for the end.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn wait(&mut self) -> anyhow::Result<bool> {
        Ok(self.child.wait()?.success())
    }

    /// SIGTERM, and its exit status.
    ///
    /// # Errors
    /// When it does not end.
    pub fn terminate(&mut self) -> anyhow::Result<bool> {
        Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status()?;
        Ok(self.child.wait()?.success())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A whole control plane: database, broker, one API, engines.
pub struct Plane {
    /// The database.
    pub db: TestDb,
    /// The API.
    pub api: Program,
    /// The engines.
    pub engines: Vec<Program>,
    /// A client of the API.
    pub client: Client,
    /// Where engines tell their metrics.
    pub ops: Vec<String>,
    dir: PathBuf,
    settings: String,
    engine: String,
}

/// `127.0.0.1:port` where nobody listens just now.
///
/// # Errors
/// When there is no port left.
pub fn unused() -> anyhow::Result<String> {
    Ok(format!("127.0.0.1:{}", free_port()?))
}

fn private(path: &Path, text: &str) -> anyhow::Result<()> {
    fs::write(path, text)?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o600))?)
}

fn start_api(dir: &Path, settings: &str, api_extra: &str, port: u16, tag: &str) -> anyhow::Result<(Program, Client)> {
    let file = dir.join(format!("{tag}.toml"));
    let own = format!(
        "[api]\nlisten = \"0.0.0.0:{port}\"\ntokens_file = \"{}/tokens.toml\"\n{api_extra}\n",
        dir.display()
    );
    private(&file, &format!("{settings}\n{own}"))?;
    let api = Program::start("senlin-api", &file, tag)?;
    Ok((api, Client::new(&format!("http://127.0.0.1:{port}"), TOKEN)))
}

async fn ready(client: &Client) -> anyhow::Result<()> {
    until("the API to be ready", Duration::from_secs(20), || async {
        let (status, _) = client.call(hyper::Method::GET, "/readyz", None).await?;
        anyhow::ensure!(status == 200, "readyz answers {status}");
        Ok(())
    })
    .await
}

impl Plane {
    /// Starts everything; `extra` are more lines of settings: `engine.x = …` for
    /// the engines, and `{port}` stands for the API's port.
    ///
    /// # Errors
    /// When a part does not come up.
    pub async fn start(engines: usize, extra: &str) -> anyhow::Result<Self> {
        let db = TestDb::new().await?;
        Self::on(db, engines, extra).await
    }

    /// The same on a server with fsync on, its statements counted.
    ///
    /// # Errors
    /// When a part does not come up.
    pub async fn durable(engines: usize, extra: &str) -> anyhow::Result<Self> {
        senlin_testkit::services("start-durable")?;
        let db = TestDb::durable().await?;
        db.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements").await?;
        Self::on(db, engines, extra).await
    }

    /// The same, with settings of the API alone.
    ///
    /// # Errors
    /// When a part does not come up.
    pub async fn durable_with_api(engines: usize, extra: &str, api: &str) -> anyhow::Result<Self> {
        senlin_testkit::services("start-durable")?;
        let db = TestDb::durable().await?;
        db.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements").await?;
        Self::launch(db, &amqp_url()?, engines, extra, api).await
    }

    /// The same on a database that is there already.
    ///
    /// # Errors
    /// When a part does not come up.
    pub async fn on(db: TestDb, engines: usize, extra: &str) -> anyhow::Result<Self> {
        Self::launch(db, &amqp_url()?, engines, extra, "").await
    }

    /// The same with a broker of its own.
    ///
    /// # Errors
    /// When a part does not come up.
    pub async fn over(bus: &Secret, db: TestDb, engines: usize, extra: &str) -> anyhow::Result<Self> {
        Self::launch(db, bus, engines, extra, "").await
    }

    /// The same with settings of the API alone, such as those of Keystone.
    ///
    /// # Errors
    /// When a part does not come up.
    pub async fn with_api(engines: usize, extra: &str, api: &str) -> anyhow::Result<Self> {
        Self::launch(TestDb::new().await?, &amqp_url()?, engines, extra, api).await
    }

    async fn launch(db: TestDb, bus: &Secret, engines: usize, extra: &str, api_extra: &str) -> anyhow::Result<Self> {
        let plane = Self::spawn(db, bus, engines, extra, api_extra)?;
        ready(&plane.client).await?;
        Ok(plane)
    }

    /// Starts everything, and does not wait until it is ready.
    ///
    /// # Errors
    /// When a program was not built.
    pub fn begin(db: TestDb, engines: usize, extra: &str) -> anyhow::Result<Self> {
        Self::spawn(db, &amqp_url()?, engines, extra, "")
    }

    fn spawn(db: TestDb, bus: &Secret, engines: usize, extra: &str, api_extra: &str) -> anyhow::Result<Self> {
        let dir = std::env::temp_dir().join(format!("senlin-plane-{}", uuid::Uuid::new_v4().simple()));
        fs::create_dir_all(&dir)?;
        private(&dir.join("key"), senlin_core::seal::Sealer::generate_key().expose())?;
        let line = |token: &str, user: &str, project: &str, roles: &str| -> anyhow::Result<String> {
            let hash = sha256(token)?;
            Ok(format!(
                "[[tokens]]\nsha256 = \"{hash}\"\nuser = \"{user}\"\nproject = \"{project}\"\nroles = [{roles}]\n"
            ))
        };
        let mut tokens = line(TOKEN, "tester", "demo", "\"admin\", \"member\"")?;
        tokens += &line(READER, "reader", "demo", "\"reader\"")?;
        for n in 0..TENANTS {
            let name = format!("tenant-{n}");
            tokens += &line(&tenant_token(n), &name, &name, "\"member\"")?;
        }
        private(&dir.join("tokens.toml"), &tokens)?;
        let port = free_port()?;
        let settings = format!(
            "[database]\nurl = \"{}\"\npool_size = 24\n[bus]\nurl = \"{}\"\nprefix = \"t{port}\"\n\
             [secrets]\nkey_file = \"{dir}/key\"\n",
            db.url(),
            bus.expose(),
            dir = dir.display(),
        );
        let (engine, extra): (Vec<&str>, Vec<&str>) = extra.lines().partition(|l| l.starts_with("engine."));
        let settings = format!("{settings}{}\n", extra.join("\n").replace("{port}", &port.to_string()));
        let (api, client) = start_api(&dir, &settings, api_extra, port, "api")?;
        let mut plane = Self {
            db,
            api,
            engines: Vec::new(),
            client,
            ops: Vec::new(),
            dir,
            settings,
            engine: engine.iter().map(|l| l.replacen("engine.", "", 1) + "\n").collect(),
        };
        for _ in 0..engines {
            plane.add_engine()?;
        }
        Ok(plane)
    }

    /// Starts the API and every engine again that have ended.
    ///
    /// # Errors
    /// When a program was not built.
    pub fn again(&mut self) -> anyhow::Result<()> {
        self.api = Program::start("senlin-api", &self.dir.join("api.toml"), "api")?;
        (0..self.engines.len()).try_for_each(|at| self.revive(at))
    }

    /// Starts another API on the same database, with settings of its own.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn another_api(&self, api_extra: &str) -> anyhow::Result<(Program, Client)> {
        let (api, client) = start_api(&self.dir, &self.settings, api_extra, free_port()?, "api2")?;
        ready(&client).await?;
        Ok((api, client))
    }

    /// Starts one engine more.
    ///
    /// # Errors
    /// When it was not built.
    pub fn add_engine(&mut self) -> anyhow::Result<()> {
        let tag = format!("engine{}", self.engines.len());
        let ops = format!("127.0.0.1:{}", free_port()?);
        self.ops.push(format!("http://{ops}"));
        let file = self.dir.join(format!("{tag}.toml"));
        let text = format!(
            "{}[engine]\nlease = 6\nrenew = 2\nsweep = 1\n{}[ops]\nlisten = \"{ops}\"\n",
            // Few connections: a queue in the engine costs others less than one in the database.
            self.settings.replace("pool_size = 24", "pool_size = 8"),
            self.engine,
        );
        private(&file, &text)?;
        self.engines.push(Program::start("senlin-engine", &file, &tag)?);
        Ok(())
    }

    /// Starts an engine again that was killed.
    ///
    /// # Errors
    /// When it was not built.
    pub fn revive(&mut self, at: usize) -> anyhow::Result<()> {
        let tag = format!("engine{at}");
        let engine = Program::start("senlin-engine", &self.dir.join(format!("{tag}.toml")), &tag)?;
        if let Some(place) = self.engines.get_mut(at) {
            *place = engine;
        }
        Ok(())
    }

    /// The folder of settings and logs.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// What every program logged.
    #[must_use]
    pub fn logs(&self) -> String {
        let files = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        files
            .filter(|f| f.path().extension().is_some_and(|e| e == "log"))
            .filter_map(|f| fs::read_to_string(f.path()).ok())
            .collect()
    }

    /// A cluster `hosts` of these endpoints, ACTIVE.
    ///
    /// # Errors
    /// When the hosts do not come up.
    pub async fn hosts(&self, endpoints: &[String]) -> anyhow::Result<String> {
        // The tests' networks are this machine's own.
        let list: Vec<_> = endpoints
            .iter()
            .map(|url| serde_json::json!({"url": url, "allow_insecure": url.starts_with("tcp://")}))
            .collect();
        let properties = serde_json::json!({"endpoints": list});
        let profile = self
            .client
            .profile("hosts", "host.dockerinc.engine", "1.0", properties)
            .await?;
        let size = i64::try_from(endpoints.len())?;
        let id = self.client.cluster("hosts", &profile, size).await?;
        self.client
            .active(&id, endpoints.len(), Duration::from_secs(60))
            .await?;
        Ok(id)
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        for engine in &mut self.engines {
            engine.kill();
        }
        self.api.kill();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

fn sha256(text: &str) -> anyhow::Result<String> {
    let script = format!("printf %s '{text}' | sha256sum");
    let out = Command::new("sh").args(["-c", &script]).output()?;
    let line = String::from_utf8(out.stdout)?;
    line.split_whitespace()
        .next()
        .map(str::to_owned)
        .context("sha256sum said nothing")
}
