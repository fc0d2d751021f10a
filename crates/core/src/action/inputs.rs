//! What actions are told to do, as their rows keep it: one struct for each kind
//! that is told anything. Who records an action writes one, who runs it reads
//! it. Keys that a struct does not have are left alone: rows of other releases
//! may have more, and users see all of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{Map, ids::*};

/// The inputs as a row keeps them.
#[must_use]
pub fn write(inputs: &impl Serialize) -> Map {
    match serde_json::to_value(inputs) {
        Ok(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

/// The inputs of an action that no user asked for, and why it was recorded.
#[must_use]
pub fn with_reason(mut inputs: Map, reason: String) -> Map {
    let common = Common {
        reason: Some(reason),
        plan_token: None,
    };
    inputs.extend(write(&common));
    inputs
}

/// A row's inputs as those of a kind.
///
/// # Errors
/// Says what does not fit.
pub fn read<T: DeserializeOwned>(inputs: &Map) -> Result<T, serde_json::Error> {
    T::deserialize(inputs)
}

macro_rules! inputs {
    ($($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident : $type:ty),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default)]
        #[allow(missing_docs, reason = "most are the contract's own words")]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type),*
        }
    )*};
}

inputs! {
    /// What any action may carry beside its own.
    Common {
        /// Why it was recorded, where no user asked for it.
        #[serde(rename = "because", skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// It is refused unless it does what that plan said.
        #[serde(skip_serializing_if = "Option::is_none")]
        plan_token: Option<String>,
    }

    /// CLUSTER_UPDATE.
    ClusterUpdate {
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        metadata: Option<Map>,
        #[serde(skip_serializing_if = "Option::is_none")]
        timeout: Option<i32>,
        #[serde(skip_serializing_if = "Option::is_none")]
        config: Option<Map>,
        /// Members keep the profile that they have.
        #[serde(skip_serializing_if = "Option::is_none")]
        profile_only: Option<bool>,
        #[serde(skip_serializing_if = "Option::is_none")]
        new_profile_id: Option<ProfileId>,
    }

    /// CLUSTER_ADD_NODES.
    AddNodes {
        #[serde(deserialize_with = "or_default")]
        nodes: Vec<NodeId>,
    }

    /// CLUSTER_DEL_NODES.
    DelNodes {
        #[serde(deserialize_with = "or_default")]
        candidates: Vec<NodeId>,
        #[serde(deserialize_with = "or_default")]
        count: usize,
        #[serde(deserialize_with = "or_default")]
        destroy_after_deletion: bool,
    }

    /// CLUSTER_REPLACE_NODES.
    ReplaceNodes {
        /// Old to new.
        #[serde(deserialize_with = "or_default")]
        candidates: BTreeMap<NodeId, NodeId>,
    }

    /// CLUSTER_SCALE_OUT and CLUSTER_SCALE_IN.
    Scale {
        /// One, or what a policy says, if not said.
        #[serde(deserialize_with = "count", skip_serializing_if = "Option::is_none")]
        count: Option<i32>,
    }

    /// CLUSTER_RESIZE.
    Resize {
        adjustment_type: Option<String>,
        number: Option<f64>,
        min_size: Option<i32>,
        max_size: Option<i32>,
        min_step: Option<i32>,
        /// Yes, if not said.
        strict: Option<bool>,
    }

    /// CLUSTER_RECOVER and NODE_RECOVER.
    Recover {
        #[serde(skip_serializing_if = "Option::is_none")]
        operation: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        operation_params: Option<Map>,
        /// In this order, until one helps.
        #[serde(deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
        operations: Vec<String>,
        /// What is healthy when its turn comes is left alone.
        #[serde(skip_serializing_if = "Option::is_none")]
        check: Option<bool>,
        /// Members are made until the cluster has its desired capacity.
        #[serde(skip_serializing_if = "Option::is_none")]
        check_capacity: Option<bool>,
        /// Accepted as Senlin does; a container is always recreated whole.
        #[serde(skip_serializing_if = "Option::is_none")]
        force_recreate: Option<bool>,
        /// The node's host has been silent for longer than the policy waits.
        #[serde(skip_serializing_if = "Option::is_none")]
        host_lost: Option<bool>,
    }

    /// CLUSTER_REBALANCE.
    Rebalance {
        /// Members on the move at once.
        #[serde(skip_serializing_if = "Option::is_none")]
        max_moves: Option<i64>,
    }

    /// CLUSTER_OPERATION and NODE_OPERATION.
    Operation {
        operation: String,
        #[serde(deserialize_with = "or_default")]
        params: Map,
        /// Of a cluster: all members, if not said.
        #[serde(skip_serializing_if = "Option::is_none")]
        nodes: Option<Vec<NodeId>>,
    }

    /// NODE_UPDATE.
    NodeUpdate {
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        role: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        metadata: Option<Map>,
        #[serde(skip_serializing_if = "Option::is_none")]
        tainted: Option<bool>,
        #[serde(skip_serializing_if = "Option::is_none")]
        new_profile_id: Option<ProfileId>,
    }

    /// NODE_DELETE.
    NodeDelete {
        /// The node goes even where its container cannot be removed.
        #[serde(deserialize_with = "or_default", skip_serializing_if = "std::ops::Not::not")]
        force: bool,
    }
}

/// CLUSTER_ATTACH_POLICY, CLUSTER_DETACH_POLICY and CLUSTER_UPDATE_POLICY.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the contract's own words")]
pub struct Policy {
    pub policy_id: PolicyId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

/// Null is as good as nothing.
fn or_default<'de, T: Default + Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// A positive whole number, or its digits: a receiver's parameters may be text.
fn count<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i32>, D::Error> {
    let number = match Option::<Value>::deserialize(from)? {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.parse::<i32>().ok(),
        Some(other) => other.as_i64().and_then(|n| i32::try_from(n).ok()),
    };
    let refused = || serde::de::Error::custom("the count for scaling must be a positive integer");
    number.filter(|n| *n > 0).map(Some).ok_or_else(refused)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of<T: DeserializeOwned>(value: Value) -> Result<T, String> {
        read(value.as_object().unwrap()).map_err(|e| e.to_string())
    }

    #[test]
    fn a_count_is_a_positive_number_or_its_digits() {
        for (given, want) in [(json!(2), Some(2)), (json!("2"), Some(2)), (Value::Null, None)] {
            assert_eq!(of::<Scale>(json!({"count": given})).unwrap().count, want);
        }
        assert_eq!(of::<Scale>(json!({"because": "x"})).unwrap().count, None);
        for bad in [
            json!(0),
            json!(-1),
            json!("x"),
            json!(1.5),
            json!([]),
            json!(4_000_000_000_u32),
        ] {
            let why = of::<Scale>(json!({"count": bad})).unwrap_err();
            assert!(why.contains("positive integer"), "{why}");
        }
    }

    #[test]
    fn what_is_not_said_is_not_written() {
        assert_eq!(write(&ClusterUpdate::default()), Map::new());
        assert_eq!(write(&NodeDelete::default()), Map::new());
        let resize = write(&Resize::default());
        assert_eq!(resize.len(), 6, "a resize tells all it was asked: {resize:?}");
    }

    #[test]
    fn null_is_as_good_as_nothing() {
        let nulls = json!({"candidates": null, "count": null, "destroy_after_deletion": null});
        assert_eq!(of::<DelNodes>(nulls).unwrap(), DelNodes::default());
        assert_eq!(of::<AddNodes>(json!({"nodes": null})).unwrap(), AddNodes::default());
        let nulls = json!({"operation": "stop", "params": null, "nodes": null});
        assert_eq!(of::<Operation>(nulls).unwrap().params, Map::new());
        assert_eq!(of::<Recover>(json!({"operations": null})).unwrap(), Recover::default());
    }

    #[test]
    fn a_policy_must_be_named() {
        assert!(
            of::<Policy>(json!({"enabled": true}))
                .unwrap_err()
                .contains("policy_id")
        );
    }
}
