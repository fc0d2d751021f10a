//! What will be done, and why, as it grows from policy to policy.

use std::collections::BTreeMap;

use senlin_core::{Map, ids::NodeId, placement::Rules};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ClusterSnapshot, Request};
use crate::victims::{self, Criteria};

/// What will be done. Begins as the request; each policy in turn refines it.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// Members more or fewer.
    pub count: Option<i32>,
    /// Who goes.
    pub victims: Vec<NodeId>,
    /// Whether they are destroyed, or let go as orphans.
    pub destroy: Option<bool>,
    /// Seconds to wait before they go.
    pub grace: i64,
    /// Whether the desired capacity falls with them.
    pub reduce: bool,
    /// Who is asked before they go.
    pub hook: Option<Hook>,
    /// Where new members may go, and members per zone and region.
    pub rules: Rules,
    /// Members that go, per zone.
    pub zones: Option<BTreeMap<String, i64>>,
    /// Members that go, per region.
    pub regions: Option<BTreeMap<String, i64>>,
    /// Members to update one batch after the other.
    pub batches: Option<Batches>,
    /// What the health policy says of recovery.
    pub health: Option<Map>,
    /// Why, in words, policy by policy.
    pub reasons: Vec<String>,
}

/// An update, batch by batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batches {
    /// Seconds to look at a batch before the next one.
    pub pause_time: i64,
    /// Members, batch by batch.
    pub plan: Vec<Vec<NodeId>>,
    /// Whether what was updated goes back when a batch turns out bad.
    pub rollback: bool,
}

/// Who is asked before a member goes, and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hook {
    /// Where the question goes.
    #[serde(flatten)]
    pub sink: Sink,
    /// Seconds that an answer is waited for; each heartbeat begins them anew.
    pub timeout: i64,
}

/// Where a lifecycle question goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "params", rename_all = "lowercase")]
pub enum Sink {
    /// A queue of the message bus; Senlin's name for it was its queue service's.
    Zaqar {
        /// Its name.
        queue: String,
    },
    /// A POST.
    Webhook {
        /// Whom.
        url: String,
    },
}

impl Default for Decision {
    fn default() -> Self {
        Self {
            count: None,
            victims: Vec::new(),
            destroy: None,
            grace: 0,
            reduce: true,
            hook: None,
            rules: Rules::default(),
            zones: None,
            regions: None,
            batches: None,
            health: None,
            reasons: Vec::new(),
        }
    }
}

impl Decision {
    /// What the request alone says.
    #[must_use]
    pub fn of(request: &Request) -> Self {
        Self {
            count: request.count,
            victims: request.candidates.clone(),
            ..Self::default()
        }
    }

    /// Chooses who goes: so many of each region, or of each zone, if a policy
    /// said so, in the order of their names.
    pub(crate) fn choose(&mut self, view: &ClusterSnapshot, count: i32, criteria: Criteria, seed: u64) {
        let number = |n: i64| usize::try_from(n).unwrap_or(0);
        let shares = match (&self.regions, &self.zones) {
            (Some(regions), _) => Some((regions, true)),
            (None, Some(zones)) => Some((zones, false)),
            (None, None) => None,
        };
        self.victims = match shares {
            None => victims::choose(&view.members, number(i64::from(count)), criteria, seed),
            Some((shares, by_region)) => shares
                .iter()
                .flat_map(|(place, share)| {
                    let of = |m: &&victims::Candidate| {
                        let place_of = if by_region { &m.region } else { &m.zone };
                        place_of.as_deref().unwrap_or_default() == place
                    };
                    let there: Vec<_> = view.members.iter().filter(of).cloned().collect();
                    victims::choose(&there, number(*share), criteria, seed)
                })
                .collect(),
        };
    }

    /// As an action's `data` shows it.
    #[must_use]
    pub fn to_data(&self, shrinks: bool) -> Map {
        let mut data = Map::from_iter([("status".to_owned(), "OK".into())]);
        if shrinks {
            let mut deletion = json!({"count": self.count, "candidates": self.victims,
                "destroy_after_deletion": self.destroy, "grace_period": self.grace,
                "reduce_desired_capacity": self.reduce});
            with(&mut deletion, "zones", self.zones.as_ref());
            with(&mut deletion, "regions", self.regions.as_ref());
            data.insert("deletion".to_owned(), deletion);
            if let Some(hook) = &self.hook {
                data.insert("hooks".to_owned(), json!(hook));
            }
        } else {
            let mut creation = json!({"count": self.count});
            with(&mut creation, "zones", self.rules.zone_shares.as_ref());
            with(&mut creation, "regions", self.rules.region_shares.as_ref());
            data.insert("creation".to_owned(), creation);
        }
        if let Some(batches) = &self.batches {
            data.insert(
                "update".to_owned(),
                json!({"pause_time": batches.pause_time, "plan": batches.plan}),
            );
        }
        if let Some(health) = &self.health {
            data.insert("health".to_owned(), Value::Object(health.clone()));
        }
        data.insert(
            "reason".to_owned(),
            Value::String(if self.reasons.is_empty() {
                "No policy had a say.".to_owned()
            } else {
                self.reasons.join(" ")
            }),
        );
        data
    }
}

fn with(into: &mut Value, key: &str, shares: Option<&BTreeMap<String, i64>>) {
    if let (Some(map), Some(shares)) = (into.as_object_mut(), shares) {
        map.insert(key.to_owned(), json!(shares));
    }
}
