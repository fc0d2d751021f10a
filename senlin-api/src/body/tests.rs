use senlin_openapi::{bodies::*, values::*};
use serde_json::json;

use super::*;

fn told<T: DeserializeOwned>(body: Value) -> String {
    match read::<T>(body.as_object().unwrap().clone()) {
        Ok(_) => "fine".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn what_is_wrong_is_named() {
    for (body, said) in [
        (json!({"name": "c", "profile_id": "p"}), "fine"),
        (json!({"name": "c", "profile_id": "p", "timeout": null}), "fine"),
        (
            json!({"b": 1, "a": 1, "timeout": "x"}),
            "Additional properties are not allowed ('a', 'b' were unexpected)",
        ),
        (
            json!({"name": "a b", "a": null}),
            "Additional properties are not allowed ('a' was unexpected)",
        ),
        (
            json!({"profile_id": "p", "timeout": "x"}),
            "'name' is a required property",
        ),
        (json!({"name": null}), "'name' cannot be null."),
        (json!({"name": 5}), "The value '5' of 'name' is not a string."),
        (
            json!({"name": "c", "profile_id": "p", "timeout": "x"}),
            "The value for timeout must be an integer: 'x'.",
        ),
        (
            json!({"name": "c", "profile_id": "p", "min_size": -1}),
            "Value must be >= 0 for field 'min_size'.",
        ),
    ] {
        assert_eq!(told::<NewCluster>(body.clone()), said, "{body}");
    }
}

#[test]
fn one_key_says_what_to_do() {
    for (body, said) in [
        (json!({"check": {"any": "thing"}}), "fine"),
        (json!({"scale_out": {"candidates": null, "count": 1}}), "fine"),
        (json!({"dance": {}}), "Unrecognized action 'dance' specified"),
        (
            json!({"add_nodes": {}}),
            "Value for 'nodes' must have at least 1 item(s).",
        ),
        (
            json!({"policy_detach": {"policy_id": "p", "enabled": true}}),
            "Additional properties are not allowed ('enabled' was unexpected)",
        ),
        (
            json!({"rebalance": {"max_moves": "0"}}),
            "Value must be >= 1 for field 'max_moves'.",
        ),
        (json!({"rebalance": 5}), "The value '5' of 'rebalance' is not a map."),
    ] {
        assert_eq!(told::<ClusterAction>(body.clone()), said, "{body}");
    }
    let refused = action::<NodeAction>("recover", Map::from_iter([("x".to_owned(), json!(1))]));
    assert_eq!(
        refused.unwrap_err().to_string(),
        "Action parameter x is not recognizable."
    );
}

#[test]
fn a_word_is_one_of_a_few() {
    for (body, said) in [
        (json!({"message": "m"}), "fine"),
        (json!({"message": "m", "level": "warn"}), "fine"),
        (
            json!({"message": "m", "level": "LOUD"}),
            "The 'level' must be DEBUG, INFO, WARN or ERROR, not 'LOUD'.",
        ),
        (
            json!({"message": "m", "level": 5}),
            "The value '5' of 'level' is not a string.",
        ),
    ] {
        assert_eq!(told::<SelfEvent>(body.clone()), said, "{body}");
    }
    assert_eq!(
        told::<SelfLifecycle>(json!({"result": "STOP"})),
        "The 'result' must be CONTINUE or HEARTBEAT, not 'STOP'."
    );
}

#[test]
fn what_a_version_brought_is_read_when_it_is_known() {
    let change: NodeChange = read(Map::from_iter([("tainted".to_owned(), json!("perhaps"))])).unwrap();
    let said = change.tainted.unwrap().read().unwrap_err();
    assert!(said.starts_with("Unrecognized value 'perhaps'"), "{said}");
    let change: NodeChange = read(Map::from_iter([("tainted".to_owned(), json!("yes"))])).unwrap();
    assert_eq!(change.tainted.unwrap().read(), Ok(Flag(true)));
    let change: NodeChange = read(Map::from_iter([("tainted".to_owned(), Value::Null)])).unwrap();
    assert!(change.tainted.is_none());
}
