//! Finds the line and column of an error in a `when`, or in the Cedar text beside the document.

use crate::violation::At;

/// A text value and the place where it was written.
#[derive(Debug, Clone)]
pub(crate) struct Written {
    pub(crate) at: At,
    /// Where the scalar starts in the document's bytes.
    pub(crate) offset: Option<usize>,
    pub(crate) text: String,
}

impl Written {
    /// The place of the byte `offset` of the text in `source`, the document, as exact as YAML's folding and escaping
    /// permit: if the text is not in the document literally, it is the start of the scalar.
    pub(crate) fn place(&self, source: &str, offset: usize) -> At {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        self.offset.and_then(|start| self.verbatim(source.get(start..)?, before)).unwrap_or(self.at)
    }

    /// Where `before` ends, if `scalar` begins with it literally: on one line, or as the lines of a literal block,
    /// which all begin in the column of the first.
    fn verbatim(&self, scalar: &str, before: &str) -> Option<At> {
        let bare = scalar.strip_prefix(['"', '\'']).unwrap_or(scalar);
        let quote = scalar.len() - bare.len();
        let indent = usize::try_from(self.at.column).ok()?.checked_sub(1)?;
        let mut written = bare.split('\n').enumerate().map(|(nth, line)| {
            let line = line.strip_suffix('\r').unwrap_or(line);
            if nth == 0 { line } else { line.get(indent..).unwrap_or_default() }
        });
        let breaks = before.matches('\n').count();
        let mut columns = 0;
        for (nth, line) in before.split('\n').enumerate() {
            let written = written.next()?;
            // A line that continues was not broken here, so the text has an escape or was folded.
            let same = if nth < breaks { written == line } else { written.starts_with(line) };
            same.then_some(())?;
            columns = line.chars().count() + if nth == 0 { quote } else { 0 };
        }
        Some(At { line: self.at.line + narrow(breaks), column: self.at.column + narrow(columns) })
    }
}

/// Bytes between two marks.
const STRETCH: usize = 1024;

/// A byte whose place is known.
#[derive(Debug, Clone, Copy)]
struct Mark {
    offset: usize,
    at: At,
}

/// Finds the places of a text's bytes, each in a look at a stretch of it, however long the text and its lines are.
#[derive(Debug)]
pub(crate) struct Places<'s> {
    pub(crate) text: &'s str,
    /// Places that are known, in order; the first is the text's start.
    marks: Vec<Mark>,
}

impl<'s> Places<'s> {
    pub(crate) fn new(text: &'s str) -> Self {
        let mut places = Self { text, marks: vec![Mark { offset: 0, at: At::START }] };
        for offset in (STRETCH..text.len()).step_by(STRETCH) {
            let offset = text.floor_char_boundary(offset);
            places.marks.push(Mark { offset, at: places.of(offset) });
        }
        places
    }

    /// The place of the byte `offset`; after the end, the place of the end.
    pub(crate) fn of(&self, offset: usize) -> At {
        let offset = self.text.floor_char_boundary(offset);
        let nth = self.marks.partition_point(|mark| mark.offset <= offset);
        let Mark { offset: mark, mut at } = self.marks[nth - 1];
        for letter in self.text[mark..offset].chars() {
            at = if letter == '\n' { At { line: at.line + 1, column: 1 } } else { At { column: at.column + 1, ..at } };
        }
        at
    }
}

fn narrow(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_a_text_longer_than_a_stretch_has_its_place() {
        let text = format!("{}\n\n{}\nend", "ä€".repeat(STRETCH), "x".repeat(3 * STRETCH));
        let places = Places::new(&text);
        let (mut line, mut column) = (1, 1);
        for (offset, letter) in text.char_indices() {
            assert_eq!(places.of(offset), At { line, column }, "{offset}");
            (line, column) = if letter == '\n' { (line + 1, 1) } else { (line, column + 1) };
        }
        for past in [text.len(), text.len() + 1, usize::MAX] {
            assert_eq!(places.of(past), At { line: 4, column: 4 });
        }
        assert_eq!(Places::new("").of(9), At::START);
    }
}
