//! The log's format and levels, and whether it has a line for each call (`log.access`).

use super::settings::Settings;

/// What to log, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Lines for persons or for programs.
    pub format: LogFormat,
    /// Levels by target, such as `info,sqlx=warn`.
    pub level: String,
    /// Whether it has a line for each call.
    pub access: bool,
}

/// The format of a line of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For persons; with colours on a terminal.
    Text,
    /// For programs, one object per line.
    Json,
}

const FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];

impl Log {
    pub(super) fn read(settings: &mut Settings) -> Self {
        let format = settings.word("log.format", &FORMATS);
        let level = settings.parse("log.level", "levels such as info, or info,sqlx=debug", |text| {
            text.split(',').all(is_directive).then(|| text.to_owned())
        });
        let access = settings.word("log.access", &[("true", true), ("false", false)]);
        Self {
            format: format.unwrap_or(LogFormat::Text),
            level: level.unwrap_or_else(|| "info".to_owned()),
            access: access.unwrap_or_default(),
        }
    }
}

impl LogFormat {
    /// The format of the log, read alone: for a configuration that is refused.
    pub(super) fn read(settings: &Settings) -> Self {
        let text = settings.text("log.format").unwrap_or_default();
        FORMATS.iter().find(|(word, _)| *word == text).map_or(Self::Text, |&(_, format)| format)
    }
}

/// A level, or a target and its level. A single word that is not a level would be read as a target, so a misspelt level
/// would silence everything.
fn is_directive(text: &str) -> bool {
    let level = text.rsplit('=').next().unwrap_or(text).trim();
    ["off", "error", "warn", "info", "debug", "trace"].contains(&level)
        && text.parse::<tracing_subscriber::filter::Directive>().is_ok()
}
