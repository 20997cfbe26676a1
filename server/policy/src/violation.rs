//! Violations in a document, each with its place (line and column); their order, and how many are written out.

use std::fmt;

/// A place in the document's text. Both numbers count from 1; 0 means unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct At {
    /// Line.
    pub(crate) line: u32,
    /// Column, in characters.
    pub(crate) column: u32,
}

impl At {
    /// The document's first character.
    pub(crate) const START: Self = Self { line: 1, column: 1 };
}

/// One violation in a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// Line, from 1; 0 if unknown. It refers to the Cedar text if `path` starts with `cedar`, otherwise to the
    /// document.
    pub line: u32,
    /// Column in characters, from 1; 0 if unknown.
    pub column: u32,
    /// The place in the document, such as `rules[2].tool`; `cedar` or `cedar[its id]` for the Cedar text beside it;
    /// empty for the document as a whole.
    pub path: String,
    /// What is wrong and what would be accepted, in words for persons.
    pub message: String,
}

impl Violation {
    pub(crate) fn new(at: At, path: impl fmt::Display, message: impl Into<String>) -> Self {
        Self { line: at.line, column: at.column, path: path.to_string(), message: message.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// Messages, separately for the document and the Cedar text beside it.
#[derive(Default)]
pub(crate) struct Noted {
    pub(crate) document: Vec<Violation>,
    pub(crate) cedar: Vec<Violation>,
}

/// All violations in a document: first those of the document, then those of the Cedar text beside it, each in the order
/// of its text. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// Limit of the violations that are written out; the last one then says how many more there are.
    pub const MAX: usize = 1_000;

    /// Sorts what was found. No violations mean success.
    pub(crate) fn check(found: Noted) -> Result<(), Self> {
        let all = Self::sorted(found);
        if all.is_empty() { Ok(()) } else { Err(Self(all)) }
    }

    /// Sorted and limited.
    pub(crate) fn sorted(noted: Noted) -> Vec<Violation> {
        let Noted { document: mut all, mut cedar } = noted;
        all.sort();
        cedar.sort();
        all.append(&mut cedar);
        all.dedup();
        if let Some(more @ 1..) = all.len().checked_sub(Self::MAX) {
            all.truncate(Self::MAX);
            all.push(Violation::new(At::default(), "", format!("and {more} more")));
        }
        all
    }

    /// The violations, in order.
    #[must_use]
    pub fn as_slice(&self) -> &[Violation] {
        &self.0
    }

    /// The violations, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Violation> {
        self.0.iter()
    }
}

impl IntoIterator for Violations {
    type Item = Violation;
    type IntoIter = std::vec::IntoIter<Violation>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Violations {
    type Item = &'a Violation;
    type IntoIter = std::slice::Iter<'a, Violation>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, violation) in self.0.iter().enumerate() {
            if nth > 0 {
                f.write_str("\n")?;
            }
            violation.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Violations {}
