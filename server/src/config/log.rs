//! The log's format and levels.

use super::settings::Settings;

/// What to log, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Lines for persons or for programs.
    pub format: LogFormat,
    /// Levels by target, such as `info,sqlx=warn`.
    pub level: String,
}

/// The format of a line of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For persons; with colours on a terminal.
    Text,
    /// For programs, one object per line.
    Json,
}

impl Log {
    pub(super) fn read(settings: &mut Settings) -> Self {
        let format = settings.word("log.format", &[("text", LogFormat::Text), ("json", LogFormat::Json)]);
        let level = settings.parse("log.level", "levels such as info, or info,sqlx=debug", |text| {
            text.split(',').all(is_directive).then(|| text.to_owned())
        });
        Self { format: format.unwrap_or(LogFormat::Text), level: level.unwrap_or_else(|| "info".to_owned()) }
    }
}

/// A level, or a target and its level. A single word that is not a level would be read as a target, so a misspelt level
/// would silence everything.
fn is_directive(text: &str) -> bool {
    let level = text.rsplit('=').next().unwrap_or(text).trim();
    ["off", "error", "warn", "info", "debug", "trace"].contains(&level)
        && text.parse::<tracing_subscriber::filter::Directive>().is_ok()
}
