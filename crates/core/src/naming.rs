//! Names of members, by a cluster's `node.name.format`.

/// The format of clusters that set none.
pub const DEFAULT_FORMAT: &str = "node-$8R";

/// Characters that a format may have at most.
pub const MAX_FORMAT: usize = 128;
/// Characters that one `$[n]R`, `$[n]r` or `$[n]I` may stand for at most.
pub const MAX_WIDTH: usize = 64;
/// Characters that a name may have at most.
const MAX_NAME: usize = 255;

/// A part of a format.
enum Part {
    /// A character that stands for itself.
    Plain(char),
    /// `$[n]` and its letter.
    Mark(Option<usize>, char),
}

/// The parts of a format; what only looks like a mark stands for itself.
fn parts(format: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = format;
    while let Some(c) = rest.chars().next() {
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
        if c == '$' {
            let letter = rest.trim_start_matches(|d: char| d.is_ascii_digit());
            let digits = rest.strip_suffix(letter).unwrap_or_default();
            if let Some(kind @ ('I' | 'R' | 'r')) = letter.chars().next() {
                // A number that is too great for the machine is too great for any rule.
                let width = (!digits.is_empty()).then(|| digits.parse().unwrap_or(usize::MAX));
                parts.push(Part::Mark(width, kind));
                rest = letter.get(1..).unwrap_or_default();
                continue;
            }
        }
        parts.push(Part::Plain(c));
    }
    parts
}

/// Checks a format that a cluster is to have.
///
/// # Errors
/// The rule that it breaks, as the end of a sentence about the field.
pub fn check_format(format: &str) -> Result<(), String> {
    if format.chars().count() > MAX_FORMAT {
        return Err(format!("must have at most {MAX_FORMAT} characters"));
    }
    if format.chars().any(char::is_control) {
        return Err("must not have control characters".to_owned());
    }
    let mut longest = 0_usize;
    for part in parts(format) {
        longest = longest.saturating_add(match part {
            Part::Plain(_) => 1,
            Part::Mark(Some(width), kind) if !(1..=MAX_WIDTH).contains(&width) => {
                return Err(format!(
                    "must have numbers of 1 to {MAX_WIDTH} only between '$' and '{kind}'"
                ));
            }
            // An index has up to 10 digits.
            Part::Mark(width, 'I') => width.unwrap_or(0).max(10),
            Part::Mark(width, _) => width.unwrap_or(8),
        });
    }
    if longest > MAX_NAME {
        return Err(format!(
            "must make names of at most {MAX_NAME} characters, not {longest}"
        ));
    }
    Ok(())
}

/// The name of the member with this index: `$[n]R` is n random characters (8
/// if not said), `$[n]r` the same in lower case, `$[n]I` the index padded with
/// zeros to n. `seed` makes the random part. Whatever the format is, the name
/// has 1 to 255 characters.
#[must_use]
pub fn node_name(format: &str, index: i32, seed: u64) -> String {
    let name = expanded(format, index, seed);
    if name.is_empty() {
        expanded(DEFAULT_FORMAT, index, seed)
    } else {
        name
    }
}

fn expanded(format: &str, index: i32, seed: u64) -> String {
    let mut state = seed;
    let mut name = String::new();
    for part in parts(format) {
        let (width, kind) = match part {
            Part::Plain(c) => {
                name.push(c);
                continue;
            }
            Part::Mark(width, kind) => (width.map(|n| n.min(MAX_WIDTH)), kind),
        };
        match kind {
            'I' => name.push_str(&format!("{index:0width$}", width = width.unwrap_or(0))),
            kind => name.push_str(&random(&mut state, width.unwrap_or(8), kind == 'R')),
        }
    }
    name.chars().take(MAX_NAME).collect()
}

fn random(state: &mut u64, length: usize, upper: bool) -> String {
    const LOWER: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    (0..length)
        .map(|_| {
            *state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let at = usize::try_from((*state >> 33) % 36).unwrap_or(0);
            let letter = char::from(LOWER.get(at).copied().unwrap_or(b'x'));
            if upper && (*state >> 20) & 1 == 0 {
                letter.to_ascii_uppercase()
            } else {
                letter
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats() {
        assert_eq!(node_name("web-$3I", 7, 1), "web-007");
        assert_eq!(node_name("web-$I-x", 12, 1), "web-12-x");
        assert_eq!(node_name("", 1, 1).len(), "node-".len() + 8);
        assert_eq!(node_name("$5R", 1, 1).len(), 5);
        let lower = node_name("$20r", 1, 9);
        assert_eq!(lower, lower.to_lowercase());
        assert_eq!(node_name("cost-$x", 1, 1), "cost-$x");
        assert_ne!(node_name("$8R", 1, 1), node_name("$8R", 1, 2));
    }

    #[test]
    fn b8_a_format_of_wide_letters_is_cut_between_letters() {
        let name = node_name(&"\u{7f51}".repeat(300), 1, 1);
        assert_eq!(name.chars().count(), 255);
        assert_eq!(node_name("\u{20ac}$2I", 7, 1), "\u{20ac}07");
    }

    #[test]
    fn b8_formats_have_bounds() {
        for fine in [
            "",
            "web-$3I",
            "$64R",
            "cost-$x",
            "$",
            "$5",
            "\u{7f51}-$I",
            &"a".repeat(128),
        ] {
            assert_eq!(check_format(fine), Ok(()), "{fine}");
        }
        for (bad, rule) in [
            ("$500I", "1 to 64"),
            ("$0R", "1 to 64"),
            ("$99999999999999999999999r", "1 to 64"),
            ("$64R$64R$64R$64R", "at most 255 characters, not 256"),
            ("a\nb", "control"),
            (&"\u{7f51}".repeat(129), "at most 128"),
        ] {
            let error = check_format(bad).unwrap_err();
            assert!(error.contains(rule), "{bad}: {error}");
        }
    }

    /// Any text as a format makes a name that the database can hold, and one
    /// that passed the check is not cut.
    #[test]
    fn b8_any_text_makes_a_name() {
        const LIKELY: [char; 12] = [
            '$',
            'I',
            'R',
            'r',
            '0',
            '9',
            '5',
            'a',
            '\u{e9}',
            '\u{7f51}',
            '\u{1f980}',
            '\u{301}',
        ];
        let mut state = 42_u64;
        let mut next = |most: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % most
        };
        for _ in 0..2_000 {
            let length = next(300);
            let format: String = (0..length)
                .map(|_| match next(3) {
                    0 => char::from_u32(u32::try_from(next(0x11_0000)).unwrap()).unwrap_or('$'),
                    _ => LIKELY[usize::try_from(next(12)).unwrap()],
                })
                .collect();
            for index in [i32::MIN, -1, 0, 7, i32::MAX] {
                let length = node_name(&format, index, next(u64::MAX)).chars().count();
                assert!((1..=255).contains(&length), "{format:?}");
            }
            if check_format(&format).is_ok() {
                assert!(expanded(&format, i32::MAX, 1).chars().count() <= 255, "{format:?}");
            }
        }
    }
}
