//! Why a policy command ends without success.

use std::{io, path::PathBuf};

use crate::remote::RemoteError;

/// Why a policy command ends without success.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PolicyError {
    /// A file that is named cannot be used at all.
    #[error("cannot read {}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// What is wrong with a document, a line each.
    #[error("{0}")]
    Invalid(String),
    /// What is wrong with a file of tests, a line each.
    #[error("{0}")]
    InvalidTests(String),
    /// The policy does not answer as its tests say.
    #[error("{failed} of {cases} test cases failed")]
    Failed { failed: usize, cases: usize },
    /// A stored version has its Cedar with it.
    #[error("a stored version has its Cedar with it: leave --old-cedar or --new-cedar out")]
    CedarOfVersion,
    /// A server did not do it.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// A simulation found what it was told to mind.
    #[error("{0} decisions would have had another answer")]
    Different(i64),
    /// A comparison found what it was told to mind.
    #[error("the two policies differ")]
    Changed,
}

impl PolicyError {
    /// The exit code: 2 where the command line is wrong, 1 where what it names is, 3 where something differs that was to be minded.
    pub(crate) const fn code(&self) -> u8 {
        match self {
            Self::Unreadable { .. } | Self::InvalidTests(_) | Self::CedarOfVersion => 2,
            Self::Invalid(_) | Self::Failed { .. } | Self::Remote(_) => 1,
            Self::Different(_) | Self::Changed => 3,
        }
    }

    /// Whether the text is lines that begin with a place, as other programs parse them.
    pub(crate) const fn is_list(&self) -> bool {
        matches!(self, Self::Invalid(_) | Self::InvalidTests(_))
    }
}
