//! What a simulated host can be told in its URL.

use std::{collections::BTreeMap, time::Duration};

use senlin_core::driver::DriverError;

/// `sim://name?latency=MS&fail=verb:percent,…&hang=verb:percent,…&patience=S&
/// cpus=N&memory=BYTES&label=key:value,…`.
#[derive(Debug, Clone)]
pub struct Knobs {
    /// Added to each call.
    pub latency: Duration,
    /// Percent of calls of a verb that fail.
    pub fail: BTreeMap<String, u64>,
    /// Percent of calls of a verb that never answer.
    pub hang: BTreeMap<String, u64>,
    /// How long a caller waits for one that never answers.
    pub patience: Duration,
    /// Processors.
    pub cpus: i64,
    /// Bytes.
    pub memory: i64,
    /// Engine labels.
    pub labels: BTreeMap<String, String>,
}

impl Default for Knobs {
    fn default() -> Self {
        Self {
            latency: Duration::ZERO,
            fail: BTreeMap::new(),
            hang: BTreeMap::new(),
            patience: Duration::from_secs(5),
            cpus: 64,
            memory: 256 << 30,
            labels: BTreeMap::new(),
        }
    }
}

impl Knobs {
    /// The host's name and its knobs.
    ///
    /// # Errors
    /// Names the knob that is unknown or has no usable value.
    pub fn parse(url: &str) -> Result<(String, Self), DriverError> {
        let refuse = |reason: String| DriverError::Endpoint {
            endpoint: url.to_owned(),
            reason,
        };
        let rest = url
            .strip_prefix("sim://")
            .ok_or_else(|| refuse("it is not sim://".to_owned()))?;
        let (name, query) = rest.split_once('?').unwrap_or((rest, ""));
        let mut knobs = Self::default();
        for pair in query.split('&').filter(|p| !p.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let number = || {
                value
                    .parse::<u64>()
                    .map_err(|_source| refuse(format!("knob '{key}' is not a whole number")))
            };
            match key {
                "latency" => knobs.latency = Duration::from_millis(number()?),
                "patience" => knobs.patience = Duration::from_secs(number()?),
                "cpus" => knobs.cpus = i64::try_from(number()?).unwrap_or(i64::MAX),
                "memory" => knobs.memory = i64::try_from(number()?).unwrap_or(i64::MAX),
                "fail" | "hang" => {
                    let mut rates = BTreeMap::new();
                    for part in value.split(',') {
                        let rate = part
                            .split_once(':')
                            .and_then(|(verb, p)| Some((verb.to_owned(), p.parse().ok()?)));
                        let (verb, percent) =
                            rate.ok_or_else(|| refuse(format!("knob '{key}' is verb:percent, not '{part}'")))?;
                        rates.insert(verb, percent);
                    }
                    if key == "fail" {
                        knobs.fail = rates
                    } else {
                        knobs.hang = rates
                    }
                }
                "label" => {
                    knobs.labels = value
                        .split(',')
                        .filter_map(|l| l.split_once(':'))
                        .map(|(k, v)| (k.to_owned(), v.to_owned()))
                        .collect();
                }
                other => return Err(refuse(format!("knob '{other}' is unknown"))),
            }
        }
        Ok((name.to_owned(), knobs))
    }

    pub(super) fn fails(&self, verb: &str, count: u64) -> bool {
        strikes(&self.fail, verb, count)
    }

    pub(super) fn hangs(&self, verb: &str, count: u64) -> bool {
        strikes(&self.hang, verb, count)
    }
}

/// Chance by the count of calls, so that a run can be repeated.
fn strikes(rates: &BTreeMap<String, u64>, verb: &str, count: u64) -> bool {
    rates.get(verb).is_some_and(|percent| {
        let mixed = (count.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 33) % 100;
        mixed < *percent
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knobs_are_read_and_wrong_ones_named() {
        let (name, knobs) = Knobs::parse("sim://a?latency=5&fail=start:50,create:1&cpus=2&label=disk:ssd").unwrap();
        assert_eq!(name, "a");
        assert_eq!(knobs.latency, Duration::from_millis(5));
        assert_eq!(knobs.fail["start"], 50);
        assert_eq!(knobs.labels["disk"], "ssd");
        for (url, word) in [
            ("sim://a?x=1", "'x'"),
            ("sim://a?latency=soon", "'latency'"),
            ("sim://a?fail=start", "'fail'"),
        ] {
            assert!(Knobs::parse(url).unwrap_err().to_string().contains(word));
        }
    }

    #[test]
    fn rates_come_true() {
        let (_, knobs) = Knobs::parse("sim://a?fail=start:20").unwrap();
        let n = (0..10_000).filter(|c| knobs.fails("start", *c)).count();
        assert!((1_500..2_500).contains(&n), "{n}");
        assert!(!(0..1000).any(|c| knobs.fails("stop", c)));
    }
}
