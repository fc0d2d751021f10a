//! What of a tenant's JSON can be kept: the database refuses U+0000, and what it
//! holds is read with a limit of 127 levels, beyond which a row is of no use to
//! anybody.

use serde_json::Value;

/// Levels of maps and lists that a document may have. Text of a document within
/// a document may have as many again, and what is recorded stands within others.
pub const MAX_DEPTH: usize = 32;

/// Why a document is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// It has the character U+0000.
    Nul,
    /// It has more than [`MAX_DEPTH`] levels.
    Depth,
}

/// The first flaw of a document, if any.
#[must_use]
pub fn flaw(value: &Value) -> Option<Flaw> {
    within(value, MAX_DEPTH)
}

fn within(value: &Value, levels: usize) -> Option<Flaw> {
    let nul = |text: &str| text.contains('\0').then_some(Flaw::Nul);
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
        Value::String(text) => nul(text),
        Value::Array(_) | Value::Object(_) if levels == 0 => Some(Flaw::Depth),
        Value::Array(list) => list.iter().find_map(|item| within(item, levels - 1)),
        Value::Object(map) => map
            .iter()
            .find_map(|(key, item)| nul(key).or_else(|| within(item, levels - 1))),
    }
}

/// A document that came as text within another one; none if it is none, or has a flaw.
#[must_use]
pub fn parse(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok().filter(|value| flaw(value).is_none())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn nested(levels: usize) -> String {
        format!("{}{}", "[".repeat(levels), "]".repeat(levels))
    }

    #[test]
    fn levels_are_counted() {
        assert!(parse(&nested(MAX_DEPTH)).is_some());
        assert!(parse(&nested(MAX_DEPTH + 1)).is_none());
        let deep: Value = serde_json::from_str(&nested(MAX_DEPTH + 1)).unwrap();
        assert_eq!(flaw(&deep), Some(Flaw::Depth));
        assert_eq!(flaw(&json!({"a": [1, "b", null]})), None);
    }

    #[test]
    fn nul_is_found_in_keys_and_values() {
        for text in [r#"{"a\u0000": 1}"#, r#"{"a": ["\u0000"]}"#] {
            assert_eq!(flaw(&serde_json::from_str(text).unwrap()), Some(Flaw::Nul));
            assert!(parse(text).is_none());
        }
    }
}
