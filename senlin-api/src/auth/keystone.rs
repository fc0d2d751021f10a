//! Keystone v3 tokens, validated with a service user and kept for a while.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use moka::{Expiry, future::Cache};
use senlin_core::{caller::Caller, secret::Secret};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use super::{AuthError, Authenticator};

mod http;

use http::{Answer, Http};

/// How Keystone is reached, and as whom.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Such as `https://keystone:5000/v3`.
    pub auth_url: String,
    /// What clients are told in `WWW-Authenticate`; `auth_url` otherwise.
    pub www_authenticate_uri: Option<String>,
    /// The service user.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<Secret>,
    /// A file that holds it.
    pub password_file: Option<PathBuf>,
    /// The service user's domain.
    #[serde(default = "default_domain")]
    pub user_domain_name: String,
    /// The service user's project.
    #[serde(default = "service")]
    pub project_name: String,
    /// That project's domain.
    #[serde(default = "default_domain")]
    pub project_domain_name: String,
    /// An application credential instead of a password.
    pub application_credential_id: Option<String>,
    /// Its secret.
    pub application_credential_secret: Option<Secret>,
    /// A file that holds it.
    pub application_credential_secret_file: Option<PathBuf>,
    /// A file with the CAs to trust for https; the system's otherwise.
    pub cafile: Option<PathBuf>,
    /// Seconds that a good token is taken to stay good.
    #[serde(default = "cache_seconds")]
    pub cache_seconds: u64,
    /// Seconds that a bad token is taken to stay bad.
    #[serde(default = "negative_seconds")]
    pub negative_seconds: u64,
    /// Seconds that Keystone gets to answer.
    #[serde(default = "timeout")]
    pub timeout: u64,
}

fn default_domain() -> String {
    "Default".to_owned()
}

fn service() -> String {
    "service".to_owned()
}

fn cache_seconds() -> u64 {
    300
}

fn negative_seconds() -> u64 {
    30
}

fn timeout() -> u64 {
    10
}

/// Tokens that are remembered at most.
const MAX_CACHED_TOKENS: u64 = 100_000;
/// Seconds before its end that the service user's own token is renewed.
const EARLY: i64 = 60;

/// What is remembered of a token.
#[derive(Debug, Clone)]
enum Verdict {
    Good(Arc<Identity>, Duration),
    Bad(AuthError, Duration),
}

#[derive(Debug)]
struct Identity {
    user: String,
    project: String,
    roles: Vec<String>,
}

struct Lives;

impl Expiry<[u8; 32], Verdict> for Lives {
    fn expire_after_create(&self, _: &[u8; 32], verdict: &Verdict, _: Instant) -> Option<Duration> {
        match verdict {
            Verdict::Good(_, life) | Verdict::Bad(_, life) => Some(*life),
        }
    }
}

/// Keystone.
pub struct Keystone {
    http: Http,
    settings: Settings,
    login: Value,
    verdicts: Cache<[u8; 32], Verdict>,
    roles: Cache<(String, String), Arc<Vec<String>>>,
    own: Mutex<Option<(Secret, DateTime<Utc>)>>,
}

impl Keystone {
    /// A client that has not spoken to Keystone yet: it may come up later.
    ///
    /// # Errors
    /// When the settings do not say who the service user is, or a file cannot be read.
    pub fn new(settings: Settings) -> anyhow::Result<Self> {
        let life = Duration::from_secs(settings.cache_seconds);
        Ok(Self {
            http: Http::new(settings.cafile.as_deref(), Duration::from_secs(settings.timeout))?,
            login: login(&settings)?,
            verdicts: Cache::builder()
                .max_capacity(MAX_CACHED_TOKENS)
                .expire_after(Lives)
                .build(),
            roles: Cache::builder()
                .max_capacity(MAX_CACHED_TOKENS)
                .time_to_live(life)
                .build(),
            own: Mutex::new(None),
            settings,
        })
    }

    fn url(&self, path: &str) -> String {
        let base = self.settings.auth_url.trim_end_matches('/');
        let base = base.strip_suffix("/v3").unwrap_or(base);
        format!("{base}/v3{path}")
    }

    /// The service user's token: the one at hand, or a new one. `stale` is one
    /// that Keystone has refused. One request at a time asks for it.
    async fn own_token(&self, stale: Option<&Secret>) -> Result<Secret, AuthError> {
        let mut own = self.own.lock().await;
        if let Some((token, end)) = own.as_ref()
            && stale.is_none_or(|s| s.expose() != token.expose())
            && (*end - Utc::now()).num_seconds() > EARLY
        {
            return Ok(token.clone());
        }
        let answer = self
            .http
            .send("POST", &self.url("/auth/tokens"), &[], Some(&self.login))
            .await?;
        let token = answer.subject.clone().filter(|_| answer.status == 201);
        let Some(token) = token else {
            tracing::error!(
                status = answer.status,
                "Keystone does not let the service user in; nobody new is let in"
            );
            return Err(AuthError::Unavailable);
        };
        let end = time(answer.body.pointer("/token/expires_at")).unwrap_or_else(Utc::now);
        *own = Some((token.clone(), end));
        Ok(token)
    }

    /// A GET as the service user, tried once more with a new token of ours.
    async fn get(&self, path: &str, subject: Option<&Secret>) -> Result<Answer, AuthError> {
        let mut stale = None;
        for _ in 0..2 {
            let own = self.own_token(stale.as_ref()).await?;
            let mut headers = vec![("x-auth-token", &own)];
            headers.extend(subject.map(|s| ("x-subject-token", s)));
            let answer = self.http.send("GET", &self.url(path), &headers, None).await?;
            match answer.status {
                401 => stale = Some(own),
                status if status >= 500 || status == 429 => return Err(AuthError::Unavailable),
                _ => return Ok(answer),
            }
        }
        tracing::error!("Keystone refuses the service user's own new token");
        Err(AuthError::Unavailable)
    }

    async fn validate(&self, token: &Secret) -> Result<Verdict, AuthError> {
        let answer = self.get("/auth/tokens?nocatalog", Some(token)).await?;
        let bad = |error| Verdict::Bad(error, Duration::from_secs(self.settings.negative_seconds));
        match answer.status {
            200 => {}
            404 => return Ok(bad(AuthError::Denied)),
            status => {
                tracing::error!(
                    status,
                    "Keystone does not let the service user validate tokens: has it the service role?"
                );
                return Err(AuthError::Unavailable);
            }
        }
        let text = |pointer: &str| answer.body.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let (Some(user), Some(end)) = (text("/token/user/id"), time(answer.body.pointer("/token/expires_at"))) else {
            return Ok(bad(AuthError::Denied));
        };
        let Some(project) = text("/token/project/id") else {
            let scope = match answer.body.get("token") {
                Some(t) if t.get("system").is_some() => "system-scoped",
                Some(t) if t.get("domain").is_some() => "domain-scoped",
                _ => "unscoped",
            };
            return Ok(bad(AuthError::Scope(scope)));
        };
        let roles = names(answer.body.pointer("/token/roles"), |r| r.get("name"));
        let left = u64::try_from((end - Utc::now()).num_seconds()).unwrap_or(0);
        if left == 0 {
            return Ok(bad(AuthError::Denied));
        }
        let identity = Identity { user, project, roles };
        let life = Duration::from_secs(left.min(self.settings.cache_seconds));
        Ok(Verdict::Good(Arc::new(identity), life))
    }

    async fn ask_roles(&self, user: &str, project: &str) -> Result<Vec<String>, AuthError> {
        // Their own form leaves no room for anything else in the query.
        if !user
            .chars()
            .chain(project.chars())
            .all(|c| c.is_ascii_alphanumeric() || c == '-')
        {
            return Ok(Vec::new());
        }
        let known = self.get(&format!("/users/{user}"), None).await?;
        let enabled = known.body.pointer("/user/enabled").and_then(Value::as_bool);
        if known.status != 200 || enabled != Some(true) {
            return Ok(Vec::new());
        }
        let path = format!("/role_assignments?user.id={user}&scope.project.id={project}&effective&include_names");
        let answer = self.get(&path, None).await?;
        match answer.status {
            200 => Ok(names(answer.body.get("role_assignments"), |r| r.pointer("/role/name"))),
            404 => Ok(Vec::new()),
            status => {
                tracing::error!(
                    status,
                    "Keystone does not tell the service user the roles of others: has it a role that may read them?"
                );
                Err(AuthError::Unavailable)
            }
        }
    }
}

fn names(list: Option<&Value>, name: impl Fn(&Value) -> Option<&Value>) -> Vec<String> {
    let all = list.and_then(Value::as_array).into_iter().flatten();
    all.filter_map(|r| name(r).and_then(Value::as_str).map(str::to_owned))
        .collect()
}

fn time(value: Option<&Value>) -> Option<DateTime<Utc>> {
    value?.as_str()?.parse().ok()
}

/// The body of the service user's own log-in.
fn login(settings: &Settings) -> anyhow::Result<Value> {
    let secret = |value: &Option<Secret>, file: &Option<PathBuf>, key: &str| -> anyhow::Result<Secret> {
        senlin_runtime::secrets::one_of(key, value.as_ref(), file.as_deref()).map_err(Into::into)
    };
    if let Some(id) = &settings.application_credential_id {
        let secret = secret(
            &settings.application_credential_secret,
            &settings.application_credential_secret_file,
            "keystone.application_credential_secret",
        )?;
        let credential = json!({"id": id, "secret": secret.expose()});
        return Ok(json!({"auth": {"identity": {"methods": ["application_credential"],
            "application_credential": credential}}}));
    }
    let Some(name) = &settings.username else {
        anyhow::bail!("keystone.username or keystone.application_credential_id must be set");
    };
    let password = secret(&settings.password, &settings.password_file, "keystone.password")?;
    let domain = |name: &str| BTreeMap::from([("name", name.to_owned())]);
    let user = json!({"name": name, "domain": domain(&settings.user_domain_name), "password": password.expose()});
    let project = json!({"name": settings.project_name, "domain": domain(&settings.project_domain_name)});
    Ok(
        json!({"auth": {"identity": {"methods": ["password"], "password": {"user": user}},
        "scope": {"project": project}}}),
    )
}

#[async_trait::async_trait]
impl Authenticator for Keystone {
    async fn authenticate(&self, token: &str, request_id: &str) -> Result<Caller, AuthError> {
        if token.is_empty() {
            return Err(AuthError::Denied);
        }
        let key: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        // Of many requests with one token, one asks Keystone.
        let verdict = self
            .verdicts
            .try_get_with(key, self.validate(&Secret::new(token)))
            .await
            .map_err(|e: Arc<AuthError>| (*e).clone())?;
        match verdict {
            Verdict::Good(identity, _) => Ok(Caller {
                user: identity.user.clone(),
                project: identity.project.clone(),
                domain: None,
                roles: identity.roles.clone(),
                is_admin: false,
                request_id: request_id.to_owned(),
            }),
            Verdict::Bad(error, _) => Err(error),
        }
    }

    async fn roles(&self, user: &str, project: &str) -> Result<Vec<String>, AuthError> {
        let key = (user.to_owned(), project.to_owned());
        let ask = async { self.ask_roles(user, project).await.map(Arc::new) };
        let roles = self.roles.try_get_with(key, ask).await;
        Ok(roles.map_err(|e: Arc<AuthError>| (*e).clone())?.to_vec())
    }

    fn challenge(&self) -> String {
        let uri = self.settings.www_authenticate_uri.as_ref();
        format!("Keystone uri=\"{}\"", uri.unwrap_or(&self.settings.auth_url))
    }
}
