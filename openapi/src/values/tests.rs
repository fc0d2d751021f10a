use std::fmt::Debug;

use serde_json::json;

use super::*;

/// Each value is read as that, or refused in those words of a field `f`.
fn check<T, V>(table: Vec<(V, Result<T, &str>)>)
where
    T: TryFrom<V, Error = String> + Debug + PartialEq,
    V: Clone + Debug,
{
    for (value, expected) in table {
        let read = T::try_from(value.clone()).map_err(|said| said.replace(KEY, "f"));
        assert_eq!(read, expected.map_err(str::to_owned), "{value:?}");
    }
}

#[test]
fn texts() {
    check(vec![
        (json!("any ~ thing"), Ok(Text("any ~ thing".to_owned()))),
        (json!(5), Err("The value '5' of 'f' is not a string.")),
        (json!(["a"]), Err("The value '[\"a\"]' of 'f' is not a string.")),
    ]);
    let length = "The value of 'f' must have 1 to 255 characters.";
    check(vec![
        (json!("web-1.a_b~网"), Ok(Name("web-1.a_b~网".to_owned()))),
        (json!("网".repeat(255)), Ok(Name("网".repeat(255)))),
        (json!("网".repeat(256)), Err(length)),
        (json!(""), Err(length)),
        (
            json!("a b"),
            Err("The value 'a b' of 'f' contains illegal character(s): letters, digits and ._~- are allowed."),
        ),
        (json!(true), Err("The value 'true' of 'f' is not a string.")),
    ]);
    check(vec![
        (json!(""), Ok(Role(String::new()))),
        (
            json!("x".repeat(65)),
            Err("The value of 'f' must have at most 64 characters."),
        ),
    ]);
    check(vec![
        (json!("done"), Ok(Message("done".to_owned()))),
        (json!(""), Err("The 'f' must have 1 to 1000 characters.")),
        (json!("x".repeat(1001)), Err("The 'f' must have 1 to 1000 characters.")),
    ]);
}

#[test]
fn maps() {
    let map = Map::from_iter([("a".to_owned(), json!(1))]);
    check(vec![
        (json!({"a": 1}), Ok(Object(map.clone()))),
        (json!("{\"a\": 1}"), Ok(Object(map))),
        (json!("a"), Err("The value 'a' of 'f' is not a map.")),
        (json!("[1]"), Err("The value '[1]' of 'f' is not a map.")),
        (json!([1]), Err("The value '[1]' of 'f' is not a map.")),
    ]);
    let pair = |old: &str, new: &str| (old.to_owned(), new.to_owned());
    check(vec![
        (
            json!({"a": "x", "b": "y"}),
            Ok(Replacements(vec![pair("a", "x"), pair("b", "y")])),
        ),
        (json!({}), Err("The data provided is not a map")),
        (json!(["a"]), Err("The data provided is not a map")),
        (json!({"a": null}), Err("Field `f[a]' cannot be None")),
        (json!({"a": "x", "b": "x"}), Err("Map contains duplicated values")),
    ]);
}

#[test]
fn numbers() {
    let whole = |shown: &str| format!("The value for f must be an integer: '{shown}'.");
    for shown in ["1.5", "many", "", "true", "[1]"] {
        for value in [json!(shown), serde_json::from_str(shown).unwrap_or_default()] {
            if !value.is_null() {
                check(vec![(value, Err::<Whole, _>(whole(shown).as_str()))]);
            }
        }
    }
    check(vec![
        (json!(0), Ok(Int::<0, 9, 9>(0))),
        (json!(" 9 "), Ok(Int(9))),
        (json!(-1), Err("Value must be >= 0 for field 'f'.")),
        (json!(10), Err("Value must be <= 9 for field 'f'.")),
        (json!(5_000_000_000_i64), Err("Value must be <= 9 for field 'f'.")),
        (json!(-5_000_000_000_i64), Err("Value must be >= 0 for field 'f'.")),
    ]);
    check(vec![
        (json!(2), Ok(Number(2.0))),
        (json!(" -0.5"), Ok(Number(-0.5))),
        (json!("inf"), Err("The value \"inf\" of 'f' is not a number.")),
        (json!([2]), Err("The value [2] of 'f' is not a number.")),
    ]);
}

#[test]
fn flags() {
    for (words, flag) in [
        (["1", "t", "True", "on", "y", " YES "], true),
        (["0", "f", "False", "off", "n", "no"], false),
    ] {
        check(words.map(|word| (json!(word), Ok(Flag(flag)))).to_vec());
        check(vec![
            (json!(flag), Ok(Flag(flag))),
            (json!(i32::from(flag)), Ok(Flag(flag))),
        ]);
    }
    let said = "Unrecognized value '2', acceptable values are: '0', '1', 'f', 'false', 'n', 'no', 'off', 'on', 't', \
                'true', 'y', 'yes'";
    check(vec![(json!(2), Err::<Flag, _>(said))]);
}

#[test]
fn lists() {
    let names = |list: &[&str]| list.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
    let many: Vec<String> = (0..=MAX_NAMES).map(|i| i.to_string()).collect();
    check(vec![
        (Some(json!(["a", "b"])), Ok(Identities(names(&["a", "b"])))),
        (None, Err("Value for 'f' must have at least 1 item(s).")),
        (Some(json!([])), Err("Value for 'f' must have at least 1 item(s).")),
        (Some(json!(many)), Err("Value for 'f' must have at most 1000 item(s).")),
        (Some(json!(["a", "a"])), Err("Items for 'f' must be unique")),
        (Some(json!("33")), Err("Items for 'f' must be unique")),
        (Some(json!("3")), Err("A list is required in field f, not a str")),
        (Some(json!({"3": 1})), Err("A list is required in field f, not a dict")),
        (Some(json!([1.5])), Err("A string is required in field f, not a float")),
    ]);
    check(vec![
        (json!(["p", "*"]), Ok(Projects(names(&["p", "*"])))),
        (json!("p"), Err("'f' must be a list of project ids, or of '*'.")),
    ]);
}
