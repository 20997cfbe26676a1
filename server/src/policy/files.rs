//! The files of a policy: how they are read and compiled, and how an error is shown with its file, line and column.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use clap::Args;
use countersign_policy::{CompiledPolicy, MAX_DOCUMENT_BYTES, Violation, Violations};

use super::PolicyError;

/// A policy document and the Cedar beside it.
#[derive(Debug, Args)]
pub(crate) struct PolicyFiles {
    /// The policy document, YAML.
    #[arg(value_name = "FILE")]
    document: PathBuf,
    /// Raw Cedar policies beside it.
    #[arg(long, value_name = "FILE")]
    cedar: Option<PathBuf>,
}

/// The content of the files.
#[derive(Debug)]
pub(super) struct PolicyTexts {
    pub(super) document: String,
    /// Empty if there is none.
    pub(super) cedar: String,
}

impl PolicyFiles {
    pub(super) const fn new(document: PathBuf, cedar: Option<PathBuf>) -> Self {
        Self { document, cedar }
    }

    /// The name of the policy in messages.
    pub(super) fn name(&self) -> String {
        self.document.display().to_string()
    }

    /// The warnings about it, one line each.
    pub(super) fn warnings(&self, policy: &CompiledPolicy) -> String {
        let line = |violation: &Violation| {
            let file = file_of(violation, &self.document, self.cedar.as_deref());
            let warning = Violation { message: format!("warning: {}", violation.message), ..violation.clone() };
            placed(file, &warning) + "\n"
        };
        policy.warnings().iter().map(line).collect()
    }

    /// Reads and compiles the policy. All errors are reported at once, each with its file and place.
    pub(super) fn load(&self) -> Result<(PolicyTexts, CompiledPolicy), PolicyError> {
        let document = read_text(&self.document)?;
        let cedar = self.cedar.as_deref().map(read_text).transpose()?.unwrap_or_default();
        let texts = PolicyTexts { document, cedar };
        let policy = texts.compile(&self.document, self.cedar.as_deref())?;
        Ok((texts, policy))
    }
}

impl PolicyTexts {
    /// Compiles the policy. Errors are reported with these names for the document and the Cedar text.
    pub(super) fn compile(&self, document: &Path, cedar: Option<&Path>) -> Result<CompiledPolicy, PolicyError> {
        Self::placed(CompiledPolicy::load(&self.document, &self.cedar), document, cedar)
    }

    /// Compiles a policy that a server stores: it may have faults that a new one may not have.
    pub(super) fn compile_stored(&self, name: &Path) -> Result<CompiledPolicy, PolicyError> {
        Self::placed(CompiledPolicy::load_stored(&self.document, &self.cedar), name, None)
    }

    fn placed<T>(loaded: Result<T, Violations>, document: &Path, cedar: Option<&Path>) -> Result<T, PolicyError> {
        loaded.map_err(|violations| {
            let line = |violation: &Violation| placed(file_of(violation, document, cedar), violation);
            PolicyError::Invalid(violations.iter().map(line).collect::<Vec<_>>().join("\n"))
        })
    }
}

/// The file of a violation.
pub(super) fn file_of<'f>(violation: &Violation, document: &'f Path, cedar: Option<&'f Path>) -> &'f Path {
    let in_cedar = violation.path == "cedar" || violation.path.starts_with("cedar[");
    cedar.filter(|_| in_cedar).unwrap_or(document)
}

/// A violation as `path:line:column: what is wrong`, which editors and CI systems understand.
pub(super) fn placed(file: &Path, violation: &Violation) -> String {
    if violation.line == 0 {
        format!("{}: {}", file.display(), violation.message)
    } else {
        format!("{}:{violation}", file.display())
    }
}

/// Reads a text file that is not longer than a document may be.
pub(super) fn read_text(path: &Path) -> Result<String, PolicyError> {
    let unreadable = |source: io::Error| PolicyError::Unreadable { path: path.to_owned(), source };
    // Opening a FIFO would block for ever.
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(unreadable(io::Error::new(io::ErrorKind::InvalidInput, "is not a file")));
    }
    let mut bytes = Vec::new();
    File::open(path)
        .map_err(unreadable)?
        .take(MAX_DOCUMENT_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() > MAX_DOCUMENT_BYTES {
        let message = format!("must be at most {MAX_DOCUMENT_BYTES} bytes");
        return Err(unreadable(io::Error::new(io::ErrorKind::FileTooLarge, message)));
    }
    String::from_utf8(bytes).map_err(|_| unreadable(io::Error::new(io::ErrorKind::InvalidData, "is not UTF-8 text")))
}
