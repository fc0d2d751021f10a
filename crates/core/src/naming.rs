//! Names of members, by a cluster's `node.name.format` (contract/api, section 3).

/// The format of clusters that set none.
pub const DEFAULT_FORMAT: &str = "node-$8R";

/// The name of the member with this index: `$[n]R` is n random characters (8
/// if not said), `$[n]r` the same in lower case, `$[n]I` the index padded with
/// zeros to n. `seed` makes the random part.
#[must_use]
pub fn node_name(format: &str, index: i32, seed: u64) -> String {
    let format = if format.is_empty() { DEFAULT_FORMAT } else { format };
    let mut state = seed;
    let mut name = String::new();
    let mut rest = format.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '$' {
            name.push(c);
            continue;
        }
        let mut digits = String::new();
        while let Some(digit) = rest.peek().copied().filter(char::is_ascii_digit) {
            digits.push(digit);
            rest.next();
        }
        let width = digits.parse::<usize>().ok().map(|n| n.min(64));
        match rest.next() {
            Some('I') => name.push_str(&format!("{index:0width$}", width = width.unwrap_or(0))),
            Some('R') => name.push_str(&random(&mut state, width.unwrap_or(8), true)),
            Some('r') => name.push_str(&random(&mut state, width.unwrap_or(8), false)),
            other => {
                name.push('$');
                name.push_str(&digits);
                name.extend(other);
            }
        }
    }
    name.truncate(255);
    name
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
}
