//! What an operator may set.

use senlin_core::profile_type::SpecRules;
use serde::Deserialize;

/// The engine's own settings; times in seconds.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Actions this engine runs at once.
    pub slots: usize,
    /// Actions of one project that run at once, over all engines.
    pub per_project: i64,
    /// Actions that talk to one host at once, over all engines.
    pub per_host: i64,
    /// A claim that is not renewed for this long is somebody else's.
    pub lease: i32,
    /// How often leases are renewed.
    pub renew: u64,
    /// How often what was lost is looked for.
    pub sweep: u64,
    /// How often an action is tried again before it is FAILED.
    pub max_retries: i32,
    /// How often each host is asked whether it is there.
    pub heartbeat: f64,
    /// How often each host is searched for containers without a node.
    pub collect: u64,
    /// How often each host's load is measured; 0 is never.
    pub measure: u64,
    /// How often members whose policy is due are looked for.
    pub watch: f64,
    /// How long an action that has ended stays among those that have not.
    pub settle: f64,
    /// Days that ended actions, events, deliveries and recoveries are kept.
    pub retention_days: i32,
    /// Addresses (`10.0.0.1`, `10.0.0.0/24`) that URLs of tenants may reach
    /// although they are this machine's, loopback or link-local.
    pub allow_addresses: Vec<String>,
    /// Addresses of the control plane's own parts; set from their URLs.
    #[serde(skip)]
    pub blocked: Vec<std::net::IpAddr>,
    /// Seconds that running actions get to end when the engine stops.
    pub grace: u64,
    /// What specs may ask for beyond the defaults; set from the section `rules`.
    #[serde(skip)]
    pub rules: SpecRules,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            slots: 128,
            per_project: 96,
            per_host: 16,
            lease: 60,
            renew: 15,
            sweep: 2,
            max_retries: 5,
            heartbeat: 5.0,
            collect: 60,
            measure: 10,
            watch: 0.5,
            settle: 60.0,
            retention_days: 30,
            allow_addresses: Vec::new(),
            blocked: Vec::new(),
            grace: 10,
            rules: SpecRules::default(),
        }
    }
}

impl Settings {
    /// Checks what types cannot.
    ///
    /// # Errors
    /// Names the key and the rule.
    pub fn check(&self) -> Result<(), String> {
        let positive = [
            ("engine.slots", self.slots > 0),
            ("engine.per_project", self.per_project > 0),
            ("engine.per_host", self.per_host > 0),
            ("engine.renew", self.renew > 0),
            ("engine.sweep", self.sweep > 0),
            ("engine.heartbeat", self.heartbeat > 0.0),
            ("engine.collect", self.collect > 0),
            ("engine.watch", self.watch > 0.0),
            ("engine.retention_days", self.retention_days > 0),
        ];
        if let Some((key, _)) = positive.into_iter().find(|(_, ok)| !ok) {
            return Err(format!("{key} must be greater than 0"));
        }
        if self.settle.is_nan() || self.settle < 0.0 {
            return Err("engine.settle must not be less than 0".to_owned());
        }
        if self.retention_days > 3650 {
            return Err("engine.retention_days must not be greater than 3650".to_owned());
        }
        if i64::from(self.lease) < 3 * i64::try_from(self.renew).unwrap_or(i64::MAX) {
            return Err("engine.lease must be at least three times engine.renew".to_owned());
        }
        crate::outbound::Outbound::new(&self.allow_addresses, &[]).map(|_| ())
    }
}
