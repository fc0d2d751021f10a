//! bollard's errors in our words, with the decision whether to try again.

use bollard::errors::Error;
use senlin_core::{
    driver::DriverError,
    text::{WORDS, clean},
};

pub(super) fn translate(endpoint: &str, verb: &'static str, seconds: u64, error: &Error) -> DriverError {
    match error {
        Error::DockerResponseServerError { status_code, message } => {
            answered(verb, *status_code, clean(message, WORDS).trim())
        }
        Error::RequestTimeoutError => DriverError::TimedOut {
            endpoint: endpoint.to_owned(),
            verb,
            seconds,
        },
        Error::DockerStreamError { error } => DriverError::Refused(clean(error, WORDS)),
        Error::SocketNotFoundError(path) => DriverError::Unreachable {
            endpoint: endpoint.to_owned(),
            reason: format!("there is no socket '{path}'"),
        },
        Error::JsonDataError { .. } | Error::JsonSerdeError { .. } | Error::StrParseError { .. } => {
            DriverError::Failed(format!(
                "{verb}: the engine's answer cannot be read: {}",
                clean(&error.to_string(), WORDS)
            ))
        }
        // What is left are connections that could not be made or broke.
        other => DriverError::Unreachable {
            endpoint: endpoint.to_owned(),
            reason: innermost(other),
        },
    }
}

fn answered(verb: &'static str, status: u16, message: &str) -> DriverError {
    let text = format!("{verb}: {message}");
    match status {
        // 304: it is so already; bollard takes it for an error in places.
        404 => DriverError::NotFound(text),
        // Docker has one status for what is taken and for what is just going away.
        409 if message.contains("removal of container") || message.contains("marked for removal") => {
            DriverError::Busy(text)
        }
        409 => DriverError::Conflict(text),
        400..=499 => DriverError::Refused(text),
        _ if message.contains("port is already allocated") || message.contains("address already in use") => {
            DriverError::Conflict(text)
        }
        _ => DriverError::Failed(text),
    }
}

/// The last cause tells most: "Connection refused (os error 111)".
fn innermost(error: &Error) -> String {
    let mut last: &dyn std::error::Error = error;
    while let Some(source) = last.source() {
        last = source;
    }
    clean(&last.to_string(), WORDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g1_an_error_of_an_engine_can_be_stored_and_breaks_no_line() {
        let hostile = "no\0 space\n2026-01-01 ERROR forged \u{1b}[31m".to_owned() + &"x".repeat(1 << 20);
        let refused = Error::DockerResponseServerError {
            status_code: 500,
            message: hostile.clone(),
        };
        let streamed = Error::DockerStreamError { error: hostile };
        for error in [refused, streamed] {
            let text = translate("tcp://h:2376", "pull", 15, &error).to_string();
            assert!(text.contains("no  space 2026-01-01 ERROR forged  [31m"), "{text:.100}");
            assert!(!text.contains(char::is_control) && text.len() < WORDS + 100);
        }
    }

    #[test]
    fn a17_only_what_waiting_cannot_mend_is_final() {
        for (status, message, passes) in [
            (500, "driver failed", true),
            (503, "", true),
            (409, "removal of container a1 is already in progress", true),
            (409, "container is marked for removal and cannot be started", true),
            (409, "The container name \"/web\" is already in use", false),
            (500, "Bind for 0.0.0.0:80 failed: port is already allocated", false),
            (404, "No such container: a1", false),
            (400, "invalid reference format", false),
        ] {
            let error = answered("remove container", status, message);
            assert_eq!(error.is_transient(), passes, "{status} {message}: {error:?}");
        }
    }
}
