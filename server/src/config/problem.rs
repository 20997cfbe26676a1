//! Errors in a configuration, each with its place: a line of a file, a variable or a flag. A message repeats no
//! password, and not all of a long key.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use super::database_url::without_password;

/// The source of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A line of a file, from 1; 0 for the file as a whole.
    File(PathBuf, u64),
    /// An environment variable.
    Variable(String),
    /// A flag of the command line.
    Flag(String),
    /// No source: it is missing.
    Nowhere,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A URL may be in the place of a path.
        let shown = |path: &Path| without_password(&path.display().to_string());
        match self {
            Self::File(path, 0) => write!(f, "{}: ", shown(path)),
            Self::File(path, line) => write!(f, "{}:{line}: ", shown(path)),
            Self::Variable(name) => write!(f, "environment variable {name}: "),
            Self::Flag(name) => write!(f, "{name}: "),
            Self::Nowhere => Ok(()),
        }
    }
}

/// Longest key that a message repeats, characters.
const LONGEST_KEY: usize = 128;

/// One error in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its place.
    pub origin: Origin,
    /// The key, such as `limits.max_connections`; empty for a file as a whole.
    pub key: String,
    /// What is wrong and what would be accepted. Never a secret.
    pub message: String,
}

impl Problem {
    pub(super) fn new(origin: Origin, key: &str, message: impl Into<String>) -> Self {
        // A key may be a URL in the wrong place, or a whole text.
        let mut key = without_password(key);
        if let Some((end, _)) = key.char_indices().nth(LONGEST_KEY) {
            key.truncate(end);
            key.push_str("...");
        }
        Self { origin, key, message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.origin.fmt(f)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// All errors in a configuration, one line each. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, problem) in self.0.iter().enumerate() {
            let line_end = if nth > 0 { "\n" } else { "" };
            write!(f, "{line_end}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
