use serde::Deserialize;
use serde_json::json;
use utoipa::ToSchema;

use super::*;

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct Example {
    /// What to run.
    image: String,
    /// How many.
    #[schema(minimum = 1, maximum = 9, default = 3)]
    count: Option<i64>,
    #[schema(extensions(("x-updatable" = json!(true))))]
    name: Option<String>,
    on: Option<bool>,
    policy: Option<Pull>,
    registry: Option<Registry>,
    labels: Option<std::collections::BTreeMap<String, String>>,
    many: Option<Vec<Registry>>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Pull {
    Always,
    Never,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only its schema is used")]
struct Registry {
    user: String,
    #[schema(extensions(("x-secret" = json!(true))))]
    password: Option<String>,
}

fn check(value: Value) -> Result<Value, String> {
    let map = value.as_object().unwrap().clone();
    SpecSchema::of::<Example>()
        .check(&map)
        .map(Value::Object)
        .map_err(|e| e.0)
}

#[test]
fn messages() {
    let table = [
        (json!({}), "Required spec item 'image' not provided"),
        (json!({"image": "x", "bogus": 1}), "Unrecognizable spec item 'bogus'"),
        (
            json!({"image": "x", "registry": {"user": "u", "oops": 1}}),
            "Unrecognizable spec item 'registry.oops'",
        ),
        (
            json!({"image": "x", "registry": {}}),
            "Required spec item 'registry.user' not provided",
        ),
        (
            json!({"image": "x", "policy": "blah"}),
            "'blah' must be one of the allowed values: always, never",
        ),
        (
            json!({"image": "x", "count": "many"}),
            "The value 'many' of item 'count' is not an integer",
        ),
        (
            json!({"image": "x", "count": 0}),
            "Item 'count' must be at least 1, not 0",
        ),
        (
            json!({"image": "x", "count": 10}),
            "Item 'count' must be at most 9, not 10",
        ),
        (json!({"image": ["x"]}), "Item 'image' must be a string, not '[\"x\"]'"),
        (
            json!({"image": "x", "many": {}}),
            "Item 'many' must be a list, not '{}'",
        ),
        (
            json!({"image": "x", "many": [{}]}),
            "Required spec item 'many[0].user' not provided",
        ),
        (
            json!({"image": "x", "labels": {"$sealed": "x"}}),
            "Unrecognizable spec item '$sealed'",
        ),
    ];
    for (spec, message) in table {
        assert_eq!(check(spec).unwrap_err(), message);
    }
    assert!(
        check(json!({"image": "x", "on": "maybe"}))
            .unwrap_err()
            .starts_with("Unrecognized value 'maybe'")
    );
}

#[test]
fn lenient_as_senlin_is() {
    let given = json!({"image": 5, "count": "7", "on": "Yes", "labels": "{\"a\": 1}", "name": null});
    assert_eq!(
        check(given).unwrap(),
        json!({"image": "5", "count": 7, "on": true, "labels": {"a": "1"}})
    );
    assert_eq!(check(json!({"image": "x"})).unwrap(), json!({"image": "x", "count": 3}));
}

#[test]
fn dialect() {
    let shown = SpecSchema::of::<Example>().to_senlin();
    assert_eq!(
        shown["image"],
        json!({"type": "String", "description": "What to run.", "required": true, "updatable": false})
    );
    assert_eq!(
        shown["count"],
        json!({"type": "Integer", "description": "How many.", "required": false, "updatable": false, "default": 3})
    );
    assert_eq!(shown["name"]["updatable"], json!(true));
    assert_eq!(
        shown["policy"]["constraints"],
        json!([{"type": "AllowedValues", "constraint": ["always", "never"]}])
    );
    assert_eq!(shown["registry"]["schema"]["user"]["required"], json!(true));
    assert_eq!(shown["many"]["type"], json!("List"));
    assert_eq!(shown["many"]["schema"]["*"]["type"], json!("Map"));
}

#[test]
fn secrets_are_sealed_opened_and_hidden() {
    let sealer = Sealer::new(&Sealer::generate_key()).unwrap();
    let schema = SpecSchema::of::<Example>();
    let given = json!({"image": "x", "registry": {"user": "u", "password": "swordfish"},
        "many": [{"user": "v", "password": "hunter2"}]});
    let sealed = Value::Object(schema.seal(given.as_object().unwrap(), &sealer).unwrap());
    let text = sealed.to_string();
    assert!(!text.contains("swordfish") && !text.contains("hunter2"), "{text}");
    assert_eq!(unseal(&sealed, &sealer).unwrap(), given);
    assert_eq!(redact(&sealed)["registry"], json!({"user": "u", "password": "***"}));

    let as_text = json!({"image": "x", "registry": "{\"user\": \"u\", \"password\": \"swordfish\"}"});
    let sealed = Value::Object(schema.seal(as_text.as_object().unwrap(), &sealer).unwrap());
    assert!(
        !sealed.to_string().contains("swordfish"),
        "a map as text is no way round"
    );
}
