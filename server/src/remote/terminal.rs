//! The width of a terminal, and texts that fit it. What is not a terminal gets every text as it is.

use std::os::fd::AsFd;

use rustix::termios::tcgetwinsize;
use textwrap::{Options, WordSeparator, WordSplitter};

/// The narrowest terminal that texts are wrapped for.
const NARROWEST: u16 = 20;

/// How many columns the terminal behind `stream` has; `None` if it is not a terminal, or too narrow to wrap for.
pub(super) fn width(stream: impl AsFd) -> Option<u16> {
    tcgetwinsize(stream).ok().map(|size| size.ws_col).filter(|columns| *columns >= NARROWEST)
}

/// The lines of a text in a terminal's width. A word stays whole, so that an id or a command's flag can be copied.
pub(super) fn wrapped(text: &str, width: Option<u16>) -> String {
    let Some(width) = width else { return text.to_owned() };
    let options = Options::new(width.into())
        .break_words(false)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation);
    textwrap::fill(text, options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_wrapped_for_a_terminal_alone() {
        let said = "countersign: no server answers at http://127.0.0.1:18080: check that it runs, and use --request-id";
        assert_eq!(wrapped(said, None), said);
        let lines = wrapped(said, Some(40));
        assert!(lines.lines().all(|line| line.len() <= 40) && lines.lines().count() > 2, "{lines}");
        assert_eq!(lines.replace('\n', " "), said);
        assert!(lines.contains("--request-id") && lines.contains("http://127.0.0.1:18080:"), "{lines}");
        let long = "x".repeat(60);
        assert_eq!(wrapped(&long, Some(40)), long);
        assert_eq!(wrapped("id     a\nstate  b", Some(40)), "id     a\nstate  b");
    }
}
