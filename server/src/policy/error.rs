//! Why a policy command ends without success, and its exit code: 3 if differences are to be reported.

use std::{io, path::PathBuf};

use crate::remote::RemoteError;

/// Why a policy command ends without success.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PolicyError {
    /// A named file cannot be used.
    #[error("cannot read {}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// The errors of a document, one line each.
    #[error("{0}")]
    Invalid(String),
    /// The errors of a test file, one line each.
    #[error("{0}")]
    InvalidTests(String),
    /// The policy's answers differ from its tests.
    #[error("{failed} of {cases} test cases failed")]
    Failed { failed: usize, cases: usize },
    /// A stored version already includes its Cedar text.
    #[error("a stored version has its Cedar with it: leave --old-cedar or --new-cedar out")]
    CedarOfVersion,
    /// A call to a server failed.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// A simulation found differences, with the flag that makes this an error.
    #[error("{0} decisions would have had another answer")]
    Different(i64),
    /// A comparison found differences, with the flag that makes this an error.
    #[error("the two policies differ")]
    Changed,
}

impl PolicyError {
    /// The exit code: 2 if the command line is wrong, 1 if something that it names is wrong, 3 if differences were
    /// found that are to be reported.
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
