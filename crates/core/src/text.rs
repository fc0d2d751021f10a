//! Texts that come in from outside: cleaned and bounded where they become ours.

use serde_json::Value;

/// Bytes of a text in words, such as an error, that are kept.
pub const WORDS: usize = 2048;
/// Bytes of an id, a name or a label's key that are kept.
pub const NAME: usize = 512;

/// The text without control characters (each becomes a space), of at most
/// `most` bytes. The database cannot hold U+0000, and a line break in a log or
/// a reason forges a line.
#[must_use]
pub fn clean(text: &str, most: usize) -> String {
    let end = text.floor_char_boundary(most);
    let kept = text.get(..end).unwrap_or_default();
    kept.chars().map(|c| if is_unsafe(c) { ' ' } else { c }).collect()
}

/// Takes U+0000, which the database cannot hold, out of every text of a
/// document. Line breaks stay: commands and environments have them.
pub fn clean_document(document: &mut Value) {
    match document {
        Value::String(text) if text.contains('\0') => *text = text.replace('\0', " "),
        Value::Array(list) => list.iter_mut().for_each(clean_document),
        Value::Object(map) => {
            if map.keys().any(|key| key.contains('\0')) {
                *map = std::mem::take(map)
                    .into_iter()
                    .map(|(key, value)| (key.replace('\0', " "), value))
                    .collect();
            }
            map.values_mut().for_each(clean_document);
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Whether a character breaks lines, or changes how what is around it is shown.
#[must_use]
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn g1_what_cannot_be_stored_or_shown_is_gone_and_the_length_is_bounded() {
        assert_eq!(clean("a\0b\nc\u{1b}[31md\u{2028}e\u{202e}", WORDS), "a b c [31md e ");
        assert_eq!(clean("网网", 4), "网", "cut between characters");
        assert_eq!(clean("plain é 网", WORDS), "plain é 网");
        let mut document = json!({"a\0": ["x\ny\0", {"k": "text"}], "n": 1});
        clean_document(&mut document);
        assert_eq!(document, json!({"a ": ["x\ny ", {"k": "text"}], "n": 1}));
    }
}
