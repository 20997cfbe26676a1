//! The appearance of the demo's story: at most 100 columns, colours only on a terminal.

use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
};

/// Width in columns.
pub(super) const WIDTH: usize = 100;
const INDENT: &str = "    ";
/// Columns for an answer's word, such as `ALLOW`, and the space after it.
const WORD: usize = 9;

/// A colour of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Colour {
    Bold,
    Dim,
    Green,
    Red,
}

impl Colour {
    /// `text` in this colour, if colours are wanted.
    pub(super) fn paint(self, text: &str, colours: bool) -> String {
        let code = match self {
            Self::Bold => 1,
            Self::Dim => 2,
            Self::Green => 32,
            Self::Red => 31,
        };
        if colours && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Standard output, and the current step of the story.
#[derive(Debug)]
pub(super) struct Screen {
    /// Whether colours are shown.
    pub(super) colours: bool,
    number: u32,
    step: &'static str,
    begun: bool,
}

impl Screen {
    pub(super) fn new() -> Self {
        let wanted = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { colours: wanted && io::stdout().is_terminal(), number: 0, step: "before the first", begun: false }
    }

    /// The number and the name of the last step that began.
    pub(super) const fn last_step(&self) -> (u32, &'static str) {
        (self.number, self.step)
    }

    /// Begins a step. The name is for messages.
    pub(super) fn step(&mut self, name: &'static str) {
        (self.number, self.step, self.begun) = (self.number + 1, name, false);
    }

    /// A sentence of the step; the first one has its number.
    pub(super) fn say(&mut self, text: &str) -> io::Result<()> {
        let number = format!("{:>2}  ", self.number);
        let first = if self.begun { INDENT.to_owned() } else { Colour::Bold.paint(&number, self.colours) };
        self.begun = true;
        wrapped(&first, INDENT, text)
    }

    /// An answer: its word, its text, and what follows from it.
    pub(super) fn answer(&self, word: &str, colour: Colour, text: &str, below: &str) -> io::Result<()> {
        let rest = " ".repeat(INDENT.len() + WORD);
        let first = format!("{INDENT}{}", colour.paint(&format!("{word:<WORD$}"), self.colours));
        wrapped(&first, &rest, text)?;
        if below.is_empty() { Ok(()) } else { wrapped(&rest, &rest, below) }
    }
}

/// Prints lines as they are.
pub(super) fn print(text: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}

/// Prints text that begins after `first` and continues after `rest`, which has the same width.
fn wrapped(first: &str, rest: &str, text: &str) -> io::Result<()> {
    let mut before = first;
    for line in wrap(text, WIDTH - rest.len()) {
        print(&format!("{before}{line}"))?;
        before = rest;
    }
    Ok(())
}

/// Lines of at most `width` characters, broken at spaces; a longer word is not broken.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// An id that is short enough to read and long enough to search for: its kind and its last six digits.
pub(super) fn short(id: &str) -> String {
    match id.split_once('_') {
        Some((kind, digits)) if digits.len() > 6 && digits.is_ascii() => {
            format!("{kind}_…{}", &digits[digits.len() - 6..])
        }
        _ => id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_blanks() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("… … …", 3), ["… …", "…"]);
        assert_eq!(wrap("unbreakable x", 3), ["unbreakable", "x"]);
        assert_eq!(wrap("", 3), [""]);
    }

    #[test]
    fn short_ids_keep_their_kind() {
        assert_eq!(short("inst_01a20fad-c0d8-739e-b646-6c624181670e"), "inst_…81670e");
        assert_eq!(short("alice"), "alice");
    }

    #[test]
    fn colours_are_left_out_where_nobody_looks() {
        assert_eq!(Colour::Red.paint("DENY", false), "DENY");
        assert_eq!(Colour::Red.paint("DENY", true), "\x1b[31mDENY\x1b[0m");
    }
}
