//! Profiles as the engine needs them: type found, secrets opened. A profile's
//! spec never changes, so what was loaded once stays good.

use std::sync::Arc;

use moka::sync::Cache;
use senlin_core::{
    Map,
    ids::*,
    placement::{Requirements, Strategy},
    profile_type::{Demand, ProfileError, ProfileType, Registry},
    seal::Sealer,
    spec::{SpecError, unseal},
};
use senlin_db::{Conn, profiles};
use serde_json::Value;

use crate::failure::Failure;

/// Most profiles kept.
const MAX_CACHED_PROFILES: u64 = 1024;

/// A profile ready for use.
pub struct LoadedProfile {
    /// Which.
    pub id: ProfileId,
    /// `type-version`.
    pub type_name: String,
    /// What can be done with it.
    pub kind: Arc<dyn ProfileType>,
    /// Checked properties, secrets opened: never to be shown.
    pub properties: Map,
    /// What `host_node` resolved to.
    pub host_node: Option<NodeId>,
    /// What `host_cluster` resolved to.
    pub host_cluster: Option<ClusterId>,
}

impl LoadedProfile {
    /// What a node of it needs.
    ///
    /// # Errors
    /// When the properties contradict themselves.
    pub fn demand(&self) -> Result<Demand, Failure> {
        let demand = self.kind.demand(&self.properties).map_err(ProfileError::from)?;
        Ok(match demand {
            Demand::Host(needs) => Demand::Host(Requirements {
                host_node: self.host_node,
                host_cluster: self.host_cluster,
                ..needs
            }),
            endpoints @ Demand::Endpoint(_) => endpoints,
        })
    }

    /// How to choose among hosts: the spec's own word, or spread.
    #[must_use]
    pub fn strategy(&self) -> Strategy {
        match self.properties.get("strategy").and_then(Value::as_str) {
            Some("random") => Strategy::Random,
            _ => Strategy::Spread,
        }
    }
}

/// The cache.
pub(crate) struct ProfileCache {
    registry: Registry,
    sealer: Sealer,
    loaded: Cache<ProfileId, Arc<LoadedProfile>>,
}

impl ProfileCache {
    pub(crate) fn new(registry: Registry, sealer: Sealer) -> Self {
        Self {
            registry,
            sealer,
            loaded: Cache::new(MAX_CACHED_PROFILES),
        }
    }

    pub(crate) async fn load(&self, conn: &mut Conn, id: ProfileId) -> Result<Arc<LoadedProfile>, Failure> {
        if let Some(found) = self.loaded.get(&id) {
            return Ok(found);
        }
        let profile = profiles::get(conn, id)
            .await?
            .ok_or_else(|| Failure::Refused(format!("The profile '{id}' could not be found.")))?;
        let (host_node, host_cluster) = profiles::hosts(conn, id).await?;
        let kind = self.find(&profile.type_name)?;
        let opened = self.open(&profile.spec.properties)?;
        let loaded = Arc::new(LoadedProfile {
            id,
            properties: kind.schema().check(&opened).map_err(ProfileError::from)?,
            kind,
            type_name: profile.type_name,
            host_node,
            host_cluster,
        });
        self.loaded.insert(id, loaded.clone());
        Ok(loaded)
    }

    pub(crate) fn find(&self, full: &str) -> Result<Arc<dyn ProfileType>, Failure> {
        self.registry
            .find(full)
            .cloned()
            .ok_or_else(|| Failure::Refused(format!("This engine does not know the profile type '{full}'.")))
    }

    /// Opens what is sealed in a set of properties.
    pub(crate) fn open(&self, properties: &Map) -> Result<Map, Failure> {
        match unseal(&Value::Object(properties.clone()), &self.sealer) {
            Ok(Value::Object(map)) => Ok(map),
            Ok(_) => Err(ProfileError::from(SpecError("properties must be a map".to_owned())).into()),
            Err(error) => Err(Failure::Refused(format!(
                "The secrets of the profile cannot be opened: {error}. The engine must have the key that the API has."
            ))),
        }
    }
}
