//! Why a bundle is refused: the first member that does not hold, the log index of its event, and whether the file was
//! damaged after it was written.

use std::fmt;

/// The first thing of a bundle that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceError {
    /// Where: the member, such as `events[3].leaf`, or `file`.
    pub member: String,
    /// The index in the log of the event in question, if it is about one.
    pub log_index: Option<u64>,
    /// What does not hold.
    pub what: String,
    /// Whether the file's own hash does not fit either: it was damaged after it was written, or altered without care.
    /// Otherwise whoever wrote the file wrote it like this.
    pub damaged: bool,
}

impl EvidenceError {
    pub(super) fn at(member: impl Into<String>, what: impl fmt::Display) -> Self {
        Self { member: member.into(), log_index: None, what: what.to_string(), damaged: false }
    }

    pub(super) fn of_event(nth: usize, log_index: u64, member: &str, what: impl fmt::Display) -> Self {
        Self { log_index: Some(log_index), ..Self::at(format!("events[{nth}]{member}"), what) }
    }
}

impl fmt::Display for EvidenceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.member)?;
        if let Some(index) = self.log_index {
            write!(f, " (log index {index})")?;
        }
        write!(f, ": {}", self.what)?;
        if self.damaged { f.write_str("; the file was changed after it was written") } else { Ok(()) }
    }
}

impl std::error::Error for EvidenceError {}
