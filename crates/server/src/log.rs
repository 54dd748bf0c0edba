//! Lines for the operator on standard error, which the control plane keeps as `data-plane.log`.
//!
//! The only place that writes there. What peers did goes to the evidence, not here: the log tells how
//! the process itself is doing, so it stays small under attack.

use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object for each line, for programs.
    Json,
}

static JSON: AtomicBool = AtomicBool::new(false);

/// Takes effect for every line from here on. The log is the process's, and so is its format.
pub(crate) fn set_format(format: LogFormat) {
    JSON.store(format == LogFormat::Json, Ordering::Relaxed);
}

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Info,
    Warning,
    Error,
}

impl Level {
    const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Writes one line. A standard error that is gone is no reason to stop serving, so failures are
/// passed over.
fn line(level: Level, message: &dyn fmt::Display) {
    let message = message.to_string();
    let text = if JSON.load(Ordering::Relaxed) {
        render_json(unix_seconds(), level, &message)
    } else {
        render(unix_seconds(), level, &message)
    };
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Something worth knowing happened as intended.
pub(crate) fn info(message: impl fmt::Display) {
    line(Level::Info, &message);
}

/// Something is wrong, the data plane goes on.
pub(crate) fn warning(message: impl fmt::Display) {
    line(Level::Warning, &message);
}

/// Something is wrong that a person has to mend.
pub(crate) fn error(message: impl fmt::Display) {
    line(Level::Error, &message);
}

fn unix_seconds() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

/// One line, whatever the message holds: control characters are escaped, so no text can forge a line.
fn render(unix_seconds: u64, level: Level, message: &str) -> String {
    let mut text = format!("{} {:<7} ", timestamp(unix_seconds), level.name());
    for character in message.chars() {
        if character.is_control() {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
    text.push('\n');
    text
}

/// The same as an object; JSON escapes what could forge a line.
fn render_json(unix_seconds: u64, level: Level, message: &str) -> String {
    let time = timestamp(unix_seconds);
    let line = serde_json::json!({"time": time, "level": level.name(), "message": message});
    format!("{line}\n")
}

/// RFC 3339 in UTC. The calendar is the proleptic Gregorian one, counted in eras of 400 years.
fn timestamp(unix_seconds: u64) -> String {
    let days = unix_seconds / 86_400;
    let second = unix_seconds % 86_400;
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 {
        month_index + 3
    } else {
        month_index - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_are_calendar_dates() {
        assert_eq!(timestamp(0), "1970-01-01T00:00:00Z");
        assert_eq!(timestamp(951_827_696), "2000-02-29T12:34:56Z");
        assert_eq!(timestamp(1_795_392_000), "2026-11-23T00:00:00Z");
        assert_eq!(timestamp(4_107_542_399), "2100-02-28T23:59:59Z");
        assert_eq!(timestamp(4_107_542_400), "2100-03-01T00:00:00Z");
    }

    #[test]
    fn a_message_cannot_forge_a_line() {
        let text = render(
            0,
            Level::Warning,
            "peer\n1970-01-01T00:00:00Z error   \u{1b}[31mforged",
        );
        assert_eq!(text.matches('\n').count(), 1);
        assert!(text.starts_with("1970-01-01T00:00:00Z warning peer\\n"));
        assert!(text.contains("\\u{1b}[31mforged"));
    }
}
