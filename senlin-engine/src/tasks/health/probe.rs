//! Checks that ask the container itself: a URL, or a bare connection.

use std::time::Duration;

use regex_lite::Regex;
use senlin_core::profile_type::{Health, ProfileError};
use senlin_db::{health::Member, hosts};
use senlin_policies::types::health::{Conditional, Health as Policy, ModeKind, Options};
use serde_json::Value;

use crate::{
    Engine,
    failure::Failure,
    hosts::address,
    outbound::{Ask, OutboundError},
};

/// How the reason of a check that failed begins.
const CHECK: &str = "The check ";

/// Seconds that one answer may take.
const PATIENCE: f64 = 5.0;

/// Every check of the policy on a member whose container runs: the container's
/// own state counts as one that passed.
pub(super) async fn all(engine: &Engine, policy: &Policy, member: &Member) -> Health {
    let modes = &policy.detection.detection_modes;
    let urls: Vec<_> = modes.iter().filter(|m| m.kind == ModeKind::NodeStatusPollUrl).collect();
    if urls.is_empty() {
        return Health::Healthy;
    }
    let mut verdicts = Vec::new();
    if urls.len() < modes.len() {
        verdicts.push(Ok(()));
    }
    for mode in urls {
        verdicts.push(poll(engine, &mode.options, member).await);
    }
    combine_checks(policy.detection.recovery_conditional, &verdicts)
}

async fn poll(engine: &Engine, options: &Options, member: &Member) -> Result<(), String> {
    let (url, ours) = match expand(engine, &options.poll_url, member).await {
        Ok(expanded) => expanded,
        // Where it is cannot be told: that is not its fault.
        Err(failure) if crate::failure::host_unknown(&failure) => return Ok(()),
        Err(failure) => return Err(format!("{CHECK}cannot be made: {failure}.")),
    };
    let wanted = Regex::new(&options.poll_url_healthy_response).ok();
    let mut last = String::new();
    for attempt in 0..=options.poll_url_retry_limit {
        if attempt > 0 {
            let pause = u64::try_from(options.poll_url_retry_interval).unwrap_or(0);
            tokio::time::sleep(Duration::from_secs(pause)).await;
        }
        let ask = Ask {
            url: &url,
            post: None,
            timeout: Duration::from_secs_f64(PATIENCE),
            verify: options.poll_url_ssl_verify,
            ours,
        };
        let answer = if url.starts_with("tcp://") {
            engine.web.reach(&ask).await.map(|()| None)
        } else {
            engine.web.ask(&ask).await.map(Some)
        };
        match answer {
            Ok(None) => return Ok(()),
            Ok(Some(answer)) => {
                let empty = options.poll_url_healthy_response.is_empty();
                let good = if empty {
                    (200..300).contains(&answer.status)
                } else {
                    wanted.as_ref().is_some_and(|w| w.is_match(&answer.body))
                };
                if good {
                    return Ok(());
                }
                last = if empty {
                    format!("{CHECK}of {url} was answered with {}.", answer.status)
                } else {
                    format!("{CHECK}of {url} was not answered as it should.")
                };
            }
            Err(OutboundError::Blocked(why)) => {
                tracing::info!(node = %member.id, why, "a health check's URL is not to be used");
                return Ok(());
            }
            Err(OutboundError::Unreachable(_)) if !options.poll_url_conn_error_as_unhealthy => return Ok(()),
            Err(OutboundError::Unreachable(why)) => last = format!("{CHECK}of {url} failed: {why}."),
        }
    }
    Err(last)
}

/// The URL with its names filled in, and whether its address is one that we
/// made up: the port that this very container publishes.
async fn expand(engine: &Engine, template: &str, member: &Member) -> Result<(String, bool), Failure> {
    let mut url = template.replace("{nodename}", &member.name);
    if !url.contains("{address}") && !url.contains("{host}") {
        return Ok((url, false));
    }
    let (Some(host), Some(id)) = (member.host_id, member.physical_id.as_deref()) else {
        return Err(Failure::Refused("it has no container".to_owned()));
    };
    let mut conn = engine.db.session();
    let driver = engine
        .connections
        .driver(&mut conn, &engine.profile_cache, host)
        .await?;
    let known = hosts::get(&mut conn, host).await?;
    let shown = driver.inspect(id).await.map_err(ProfileError::from)?.document;
    if url.contains("{address}") {
        let own = own_address(&shown).ok_or_else(|| Failure::Refused("it has no address of its own".to_owned()))?;
        url = url.replace("{address}", &own);
    }
    let mut ours = false;
    while let Some((from, to, port)) = published(&url) {
        let outside = shown
            .pointer(&format!("/NetworkSettings/Ports/{port}~1tcp/0/HostPort"))
            .and_then(Value::as_str)
            .ok_or_else(|| Failure::Refused(format!("it does not publish port {port}")))?;
        let machine = known.as_ref().map(|h| address(&h.endpoint)).unwrap_or_default();
        let machine = if machine.is_empty() {
            "127.0.0.1".to_owned()
        } else {
            machine
        };
        url.replace_range(from..to, &format!("{machine}:{outside}"));
        ours = true;
    }
    if url.contains("{host}") {
        return Err(Failure::Refused("{host} must be followed by :{port:N}".to_owned()));
    }
    Ok((url, ours))
}

/// Where `{host}:{port:80}` stands in the authority of a URL, and the port.
fn published(url: &str) -> Option<(usize, usize, u16)> {
    const BEFORE: &str = "{host}:{port:";
    let scheme = url.find("://")? + 3;
    let rest = url.get(scheme..)?.strip_prefix(BEFORE)?;
    let end = rest.find('}')?;
    let port = rest.get(..end)?.parse().ok()?;
    // Nothing may follow that makes it part of another name, such as a user.
    let after = rest.get(end + 1..)?;
    if !(after.is_empty() || after.starts_with(['/', '?'])) {
        return None;
    }
    Some((scheme, scheme + BEFORE.len() + end + 1, port))
}

fn own_address(document: &Value) -> Option<String> {
    document
        .pointer("/NetworkSettings/Networks")?
        .as_object()?
        .values()
        .find_map(|n| n.get("IPAddress").and_then(Value::as_str).filter(|a| !a.is_empty()))
        .map(str::to_owned)
}

/// Whether a member that several checks looked at is lost.
fn combine_checks(conditional: Conditional, verdicts: &[Result<(), String>]) -> Health {
    let failed: Vec<&str> = verdicts
        .iter()
        .filter_map(|v| v.as_ref().err().map(String::as_str))
        .collect();
    let lost = match conditional {
        Conditional::AnyFailed => !failed.is_empty(),
        Conditional::AllFailed => !failed.is_empty() && failed.len() == verdicts.len(),
    };
    if lost {
        Health::Unresponsive(failed.join(" "))
    } else {
        Health::Healthy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_authority_stands_for_a_published_port() {
        let at = |url: &str| published(url).map(|(from, to, port)| (url[from..to].to_owned(), port));
        assert_eq!(
            at("http://{host}:{port:80}/x"),
            Some(("{host}:{port:80}".to_owned(), 80))
        );
        assert_eq!(
            at("tcp://{host}:{port:5432}"),
            Some(("{host}:{port:5432}".to_owned(), 5432))
        );
        for url in [
            "http://{host}:80/",
            "http://{host}:{port:80}@evil/",
            "http://me@{host}:{port:80}/",
            "http://{host}:{port:x}/",
            "http://evil/{host}:{port:80}",
        ] {
            assert_eq!(at(url), None, "{url}");
        }
    }
}
