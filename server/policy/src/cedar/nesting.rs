//! Limits the nesting and the number of operators of Cedar text before it is parsed, and splits it into statements.
//! Cedar's parser recurses without a limit, so a hostile text would end the process. The limits are far above what a
//! person writes, and far below what fits on the stack.

use std::ops::Range;

/// Deepest nesting of brackets. Every earlier `if` counts as one more, because its `else` has no end mark.
const MAX_DEPTH: usize = 24;
/// Limit of operators that nest their operands (`+ - * . ! && || has like in is`, comparisons, indexes) in one policy.
const MAX_LINKS: usize = 400;

/// Text that is nested too deeply, and where.
pub(crate) struct TooDeep {
    pub(crate) offset: usize,
    pub(crate) message: String,
}

/// Splits text into its statements, each with its `;` and without the text before its first word; the last one may lack
/// the `;`. Strings and comments are read as Cedar reads them.
pub(crate) fn statements(text: &str) -> Result<Vec<Range<usize>>, TooDeep> {
    let bytes = text.as_bytes();
    let mut statements = Vec::new();
    let mut state = Statement::default();
    let mut at = 0;
    while let Some(byte) = bytes.get(at).copied() {
        let here = at;
        at += 1;
        match byte {
            b'/' if bytes.get(at) == Some(&b'/') => {
                at = text[here..].find('\n').map_or(bytes.len(), |end| here + end + 1);
                continue;
            }
            b'"' => at = string_end(bytes, at),
            b';' if state.brackets == 0 => {
                statements.push(state.start.unwrap_or(here)..at);
                state = Statement::default();
                continue;
            }
            byte if byte.is_ascii_whitespace() => continue,
            byte if is_word(byte) => {
                at += bytes[at..].iter().take_while(|byte| is_word(**byte)).count();
                state.word(&text[here..at]);
            }
            byte => {
                // `&&`, `||`, `==`, `<=` and similar operators count once.
                at += bytes[at..]
                    .iter()
                    .take(1)
                    .take_while(|next| byte.is_ascii_punctuation() && pairs(byte, **next))
                    .count();
                state.symbol(byte);
            }
        }
        state.start.get_or_insert(here);
        state.check(here)?;
    }
    statements.extend(state.start.map(|start| start..bytes.len()));
    Ok(statements)
}

#[derive(Default)]
struct Statement {
    start: Option<usize>,
    brackets: usize,
    ifs: usize,
    links: usize,
}

impl Statement {
    fn word(&mut self, word: &str) {
        match word {
            "if" => self.ifs += 1,
            "has" | "like" | "in" | "is" => self.links += 1,
            _ => {}
        }
    }

    fn symbol(&mut self, byte: u8) {
        match byte {
            b'(' | b'{' => self.brackets += 1,
            // An index nests its operand: `a["b"]["c"]`.
            b'[' => (self.brackets, self.links) = (self.brackets + 1, self.links + 1),
            b')' | b']' | b'}' => self.brackets = self.brackets.saturating_sub(1),
            b'.' | b'+' | b'-' | b'*' | b'!' | b'&' | b'|' | b'<' | b'>' | b'=' | b'/' | b'%' => self.links += 1,
            _ => {}
        }
    }

    fn check(&self, offset: usize) -> Result<(), TooDeep> {
        let message = if self.brackets + self.ifs > MAX_DEPTH {
            format!("brackets and `if` nest deeper than {MAX_DEPTH}")
        } else if self.links > MAX_LINKS {
            format!("more than {MAX_LINKS} operators in one policy; split it, or compare with a set")
        } else {
            return Ok(());
        };
        Err(TooDeep { offset, message })
    }
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

const fn pairs(first: u8, second: u8) -> bool {
    matches!((first, second), (b'&', b'&') | (b'|', b'|') | (b'<' | b'>' | b'=' | b'!', b'='))
}

/// The end of the string whose opening quote is before `at`.
fn string_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'\\' => at += 1,
            b'"' => break,
            _ => {}
        }
    }
    at.min(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<&str> {
        let ranges = statements(text).map_err(|deep| deep.message).unwrap();
        ranges.into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn statements_end_at_their_semicolon_only() {
        assert_eq!(
            split(" // a; b\n permit(a); @id(\";\\\";\")\nforbid{;}; x"),
            ["permit(a);", "@id(\";\\\";\")\nforbid{;};", "x"]
        );
        assert_eq!(split("  // nothing"), [""; 0]);
        assert_eq!(split("\"ä\\"), ["\"ä\\"]);
    }

    #[test]
    fn deep_and_long_texts_are_refused_before_they_are_parsed() {
        for open in ["(", "[", "{a:", "if a then b else ", "f("] {
            assert!(statements(&open.repeat(MAX_DEPTH)).is_ok(), "{open}");
            assert!(statements(&open.repeat(MAX_DEPTH + 1)).is_err(), "{open}");
        }
        assert!(statements(&"if (".repeat(MAX_DEPTH / 2 + 1)).is_err());
        for link in ["1+", "a.", "a && ", "!", "[1]", "a has b "] {
            assert!(statements(&link.repeat(MAX_LINKS)).is_ok(), "{link}");
            assert!(statements(&link.repeat(MAX_LINKS + 1)).is_err(), "{link}");
            assert!(statements(&format!("{};", link.repeat(MAX_LINKS)).repeat(2)).is_ok(), "{link}");
        }
    }
}
