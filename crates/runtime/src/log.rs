//! Log lines.

use std::fmt;

use senlin_core::text::is_unsafe;
use serde::Deserialize;
use tracing::{Event, Subscriber};
use tracing_subscriber::{
    EnvFilter,
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// How log lines look, and which there are.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `text` or `json`.
    pub format: Format,
    /// Such as `info` or `info,senlin_engine=debug`.
    pub level: String,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "plain words")]
pub enum Format {
    Text,
    Json,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: Format::Text,
            level: "info".to_owned(),
        }
    }
}

/// Writes an event as one line, whatever is in it: a tenant's text must not
/// forge a line, nor steer a terminal.
struct OneLine<F>(F);

impl<S, N, F> FormatEvent<S, N> for OneLine<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut out: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::new();
        self.0.format_event(ctx, Writer::new(&mut line), event)?;
        for c in line.strip_suffix('\n').unwrap_or(&line).chars() {
            if is_unsafe(c) {
                write!(out, "{}", c.escape_default())?;
            } else {
                out.write_char(c)?;
            }
        }
        out.write_char('\n')
    }
}

/// Begins logging, to standard error.
///
/// # Errors
/// When the level cannot be understood; the text names it.
pub fn init(log: &Log) -> Result<(), crate::settings::SettingsError> {
    let filter = EnvFilter::try_new(&log.level)
        .map_err(|e| crate::settings::SettingsError::Wrong(format!("log.level '{}': {e}", log.level)))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let done = match log.format {
        Format::Text => builder
            .with_ansi(false)
            .event_format(OneLine(tracing_subscriber::fmt::format()))
            .try_init(),
        Format::Json => builder.json().try_init(),
    };
    // A second start in one process keeps the first one's log.
    if let Err(error) = done {
        tracing::debug!(%error, "logging was begun already");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn g7_a_line_break_in_a_text_forges_no_line() {
        let kept = Kept::default();
        let writer = kept.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .event_format(OneLine(tracing_subscriber::fmt::format()))
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let hostile = "web\n2026-01-01T00:00:00Z ERROR forged\r\u{1b}[2J\u{2028}x";
            let _span = tracing::info_span!("request", path = %hostile).entered();
            tracing::info!(name = %hostile, "made {hostile}");
            tracing::info!("next");
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(!text.replace('\n', "").contains(is_unsafe), "{text:?}");
        assert!(
            text.contains("web\\n2026-01-01T00:00:00Z ERROR forged\\r\\u{1b}[2J\\u{2028}x"),
            "{text}"
        );
    }
}
