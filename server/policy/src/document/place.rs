//! Places inside a scalar: where in the document an error within a `when` stands.

use crate::violation::At;

/// A text value and where it was written.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) at: At,
    /// Where the scalar starts in the document's bytes.
    pub(crate) offset: Option<usize>,
    pub(crate) text: String,
}

impl Written {
    /// The place of the byte `offset` of the text in `source`, the document. As exact as YAML's folding and escaping let it
    /// be: where the text does not stand in the document letter by letter, it is the scalar's start.
    pub(crate) fn place(&self, source: &str, offset: usize) -> At {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        self.offset.and_then(|start| self.verbatim(source.get(start..)?, before)).unwrap_or(self.at)
    }

    /// Where `before` ends if it starts `scalar` letter by letter: on one line, or as the lines of a literal block, which all
    /// stand in the column of the first.
    fn verbatim(&self, scalar: &str, before: &str) -> Option<At> {
        let bare = scalar.strip_prefix(['"', '\'']).unwrap_or(scalar);
        let quote = scalar.len() - bare.len();
        let indent = usize::try_from(self.at.column).ok()?.checked_sub(1)?;
        let mut written = bare.lines();
        let (mut lines, mut columns) = (0, 0);
        for (nth, line) in before.split('\n').enumerate() {
            let written = written.next().unwrap_or_default();
            let written = if nth == 0 { written } else { written.get(indent..).unwrap_or_default() };
            written.starts_with(line).then_some(())?;
            (lines, columns) = (nth, line.chars().count() + if nth == 0 { quote } else { 0 });
        }
        Some(At { line: self.at.line + narrow(lines), column: self.at.column + narrow(columns) })
    }
}

/// The place of the byte `offset` in `source`.
pub(crate) fn place(source: &str, offset: usize) -> At {
    let before = source.get(..offset).unwrap_or(source);
    let last = before.rsplit('\n').next().unwrap_or_default();
    At { line: 1 + narrow(before.matches('\n').count()), column: 1 + narrow(last.chars().count()) }
}

fn narrow(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
