//! A real Keystone, with the users that tests need, gone with this.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, ensure};
use hyper::Method;
use senlin_testkit::TestDb;
use serde_json::{Value, json};

use crate::{http::raw, ports::free_port};

/// The password of every user here.
pub const PASSWORD: &str = "swordfish-keystone";

/// A Keystone that runs.
pub struct Keystone {
    server: Option<Child>,
    dir: PathBuf,
    port: u16,
    admin: String,
    _db: TestDb,
}

/// Where a virtual environment of scripts/python.sh is.
#[must_use]
pub fn venv(name: &str) -> PathBuf {
    senlin_testkit::workspace().join("target/venvs").join(name)
}

fn run(command: &mut Command) -> anyhow::Result<String> {
    let out = command.stdin(Stdio::null()).output()?;
    ensure!(
        out.status.success(),
        "{command:?}: {}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

impl Drop for Keystone {
    fn drop(&mut self) {
        self.stop();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Keystone {
    /// Starts one whose tokens live for `life` seconds. Project `demo` has users
    /// `member`, `reader` and `other_member`; project `other` has user `other`;
    /// `admin` is the admin; `senlin` is the service user.
    ///
    /// # Errors
    /// When a part of it does not come up; says what it logged.
    pub async fn start(life: u32) -> anyhow::Result<Self> {
        run(Command::new(senlin_testkit::workspace().join("scripts/python.sh")).arg("keystone"))?;
        let dir = std::env::temp_dir().join(format!("senlin-keystone-{}", uuid::Uuid::new_v4().simple()));
        fs::create_dir_all(&dir)?;
        let port = free_port()?;
        let at = dir.display();
        let db = TestDb::empty().await?;
        let database = db.url().replacen("postgres://", "postgresql+psycopg2://", 1);
        fs::write(
            dir.join("keystone.conf"),
            format!(
                "[DEFAULT]\nlog_file = {at}/keystone.log\n[database]\nconnection = {database}\n\
                 [token]\nexpiration = {life}\n[fernet_tokens]\nkey_repository = {at}/fernet\n\
                 [credential]\nkey_repository = {at}/credential\n[identity]\npassword_hash_rounds = 4\n"
            ),
        )?;
        fs::write(
            dir.join("public.py"),
            "import sys\nsys.argv = ['keystone']\nfrom keystone.server.wsgi import initialize_public_application\n\
             application = initialize_public_application()\n",
        )?;
        let mut keystone = Self {
            server: None,
            dir,
            port,
            admin: String::new(),
            _db: db,
        };
        for line in [
            "db_sync".to_owned(),
            "fernet_setup --keystone-user root --keystone-group root".to_owned(),
            "credential_setup --keystone-user root --keystone-group root".to_owned(),
            format!(
                "bootstrap --bootstrap-password {PASSWORD} --bootstrap-region-id RegionOne --bootstrap-public-url {}",
                keystone.url()
            ),
        ] {
            run(Command::new(venv("keystone").join("bin/keystone-manage"))
                .args(["--config-file", &format!("{}/keystone.conf", keystone.dir.display())])
                .args(line.split_whitespace()))?;
        }
        keystone.launch().await?;
        keystone.admin = keystone.token("admin", &json!({"project": scope("admin")})).await?;
        keystone.populate().await?;
        Ok(keystone)
    }

    /// Its URL, with `/v3`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/v3", self.port)
    }

    /// Starts the server, also again after [`Self::stop`].
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn launch(&mut self) -> anyhow::Result<()> {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.dir.join("server.log"))?;
        let child = Command::new(venv("keystone").join("bin/gunicorn"))
            .args(["-b", &format!("127.0.0.1:{}", self.port), "-w", "2", "--access-logfile"])
            .arg(self.dir.join("access.log"))
            .args(["--chdir", &self.dir.display().to_string(), "public:application"])
            .env("OS_KEYSTONE_CONFIG_FILES", self.dir.join("keystone.conf"))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("start gunicorn")?;
        self.server = Some(child);
        senlin_testkit::until("Keystone to answer", Duration::from_secs(60), || async {
            let (status, _, _) = raw(Method::GET, &self.url(), &[], None).await?;
            ensure!(status == 200, "{status}");
            Ok(())
        })
        .await
        .map_err(|e| {
            let log = fs::read_to_string(self.dir.join("server.log")).unwrap_or_default();
            e.context(log)
        })
    }

    /// Stops the server.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.server.take() {
            let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
            let _ = child.wait();
        }
    }

    /// How often it was asked about a token.
    #[must_use]
    pub fn validations(&self) -> usize {
        let log = fs::read_to_string(self.dir.join("access.log")).unwrap_or_default();
        log.lines().filter(|l| l.contains("GET /v3/auth/tokens")).count()
    }

    /// A request as the admin.
    ///
    /// # Errors
    /// Anything but success.
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.url());
        let (status, _, answer) = raw(method.clone(), &url, &[("x-auth-token", &self.admin)], body).await?;
        ensure!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        Ok(answer)
    }

    /// A token of a user, scoped as said.
    ///
    /// # Errors
    /// When Keystone gives none.
    pub async fn token(&self, user: &str, scope: &Value) -> anyhow::Result<String> {
        let user = json!({"name": user, "domain": {"name": "Default"}, "password": PASSWORD});
        let mut auth = json!({"identity": {"methods": ["password"], "password": {"user": user}}});
        if !scope.is_null()
            && let Some(map) = auth.as_object_mut()
        {
            map.insert("scope".to_owned(), scope.clone());
        }
        let url = format!("{}/auth/tokens", self.url());
        let (status, headers, answer) = raw(Method::POST, &url, &[], Some(&json!({"auth": auth}))).await?;
        let token = headers.get("x-subject-token").and_then(|t| t.to_str().ok());
        token
            .map(str::to_owned)
            .with_context(|| format!("no token: {status} {answer}"))
    }

    /// A token of a user for a project.
    ///
    /// # Errors
    /// When Keystone gives none.
    pub async fn scoped(&self, user: &str, project: &str) -> anyhow::Result<String> {
        self.token(user, &json!({"project": scope(project)})).await
    }

    async fn populate(&self) -> anyhow::Result<()> {
        for project in ["demo", "other", "service"] {
            let body = json!({"project": {"name": project, "domain_id": "default"}});
            self.ask(Method::POST, "/projects", Some(&body)).await?;
        }
        for (user, project, role) in [
            ("member", "demo", "member"),
            ("reader", "demo", "reader"),
            ("other_member", "demo", "member"),
            ("other", "other", "member"),
            ("senlin", "service", "admin"),
        ] {
            let body = json!({"user": {"name": user, "domain_id": "default", "password": PASSWORD}});
            self.ask(Method::POST, "/users", Some(&body)).await?;
            self.grant(Method::PUT, user, project, role).await?;
        }
        let admin = self.id("users", "admin").await?;
        let role = self.id("roles", "admin").await?;
        let path = format!("/domains/default/users/{admin}/roles/{role}");
        self.ask(Method::PUT, &path, None).await?;
        Ok(())
    }

    /// The id of a user, project or role.
    ///
    /// # Errors
    /// When there is none of that name.
    pub async fn id(&self, kind: &str, name: &str) -> anyhow::Result<String> {
        let found = self.ask(Method::GET, &format!("/{kind}?name={name}"), None).await?;
        crate::http::text(&found, &format!("/{kind}/0/id"))
    }

    /// Gives (PUT) or takes (DELETE) a role.
    ///
    /// # Errors
    /// When Keystone refuses.
    pub async fn grant(&self, method: Method, user: &str, project: &str, role: &str) -> anyhow::Result<()> {
        let (user, project) = (self.id("users", user).await?, self.id("projects", project).await?);
        let role = self.id("roles", role).await?;
        let path = format!("/projects/{project}/users/{user}/roles/{role}");
        self.ask(method, &path, None).await?;
        Ok(())
    }

    /// Puts an API into the catalog, as the service `clustering`.
    ///
    /// # Errors
    /// When Keystone refuses.
    pub async fn catalog(&self, url: &str) -> anyhow::Result<()> {
        let service = json!({"service": {"type": "clustering", "name": "senlin"}});
        let made = self.ask(Method::POST, "/services", Some(&service)).await?;
        let id = crate::http::text(&made, "/service/id")?;
        let endpoint = json!({"endpoint": {"service_id": id, "interface": "public", "url": url,
            "region_id": "RegionOne"}});
        self.ask(Method::POST, "/endpoints", Some(&endpoint)).await?;
        Ok(())
    }

    /// The `[keystone]` section of an API's settings.
    #[must_use]
    pub fn settings(&self, more: &str) -> String {
        format!(
            "[keystone]\nauth_url = \"{}\"\nusername = \"senlin\"\npassword = \"{PASSWORD}\"\n{more}\n",
            self.url()
        )
    }

    /// Its folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

/// A project of the default domain, as scopes name it.
#[must_use]
pub fn scope(project: &str) -> Value {
    json!({"name": project, "domain": {"name": "Default"}})
}
