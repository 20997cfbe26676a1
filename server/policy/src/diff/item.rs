//! An item of a policy, and how two versions of it differ, in sentences; how much of a long text is quoted.

use std::collections::BTreeSet;

use crate::text::listed;

/// Longest part of a text that is shown, in characters.
const SHOWN: usize = 200;
/// How much of the common start of two long texts is shown before the place where they differ, in characters.
const COMMON: usize = 24;

/// A rule, a role, a tool and so on, as named in sentences.
pub(super) struct Item {
    /// For example `rule "one"`; unique in its section.
    pub(super) name: String,
    pub(super) fields: Vec<Field>,
}

/// A field of it, as named in sentences.
pub(super) struct Field {
    pub(super) name: String,
    pub(super) value: Value,
}

/// The value of a field.
#[derive(PartialEq, Eq)]
pub(super) enum Value {
    /// A text that is already in words.
    Words(String),
    /// Text of the document, unchanged.
    Text(String),
    /// Names in any order; if there are none, these words are used.
    Names(&'static str, BTreeSet<String>),
}

impl Value {
    pub(super) fn words(words: &impl ToString) -> Self {
        Self::Words(words.to_string())
    }

    /// One name, or any.
    pub(super) fn name<T: AsRef<str>>(name: Option<&T>) -> Self {
        Self::Words(name.map_or_else(|| "any".to_owned(), |name| format!("{:?}", name.as_ref())))
    }

    pub(super) fn names<T: AsRef<str>>(none: &'static str, names: impl IntoIterator<Item = T>) -> Self {
        Self::Names(none, names.into_iter().map(|name| format!("{:?}", name.as_ref())).collect())
    }

    fn shown(&self) -> String {
        match self {
            Self::Words(words) => words.clone(),
            Self::Text(text) => shown(text, 0),
            Self::Names(none, names) if names.is_empty() => (*none).to_owned(),
            Self::Names(_, names) => listed(names),
        }
    }

    /// How `self` became `new`, to follow a field's name.
    fn became(&self, new: &Self) -> String {
        match (self, new) {
            (Self::Names(_, old), Self::Names(_, new)) if !old.is_empty() && !new.is_empty() => {
                let gained = new.difference(old).cloned().collect::<Vec<_>>();
                let lost = old.difference(new).cloned().collect::<Vec<_>>();
                let part = |word: &str, names: &[String]| format!("{word} {}", listed(names));
                match (gained.is_empty(), lost.is_empty()) {
                    (true, _) => part("lose", &lost),
                    (_, true) => part("gain", &gained),
                    _ => format!("{} and {}", part("gain", &gained), part("lose", &lost)),
                }
            }
            (Self::Text(old), Self::Text(new)) => {
                let common = old.chars().zip(new.chars()).take_while(|(one, other)| one == other).count();
                let fits = old.chars().count().max(new.chars().count()) <= SHOWN;
                let from = if fits { 0 } else { common.saturating_sub(COMMON) };
                format!("was {}, is {}", shown(old, from), shown(new, from))
            }
            (Self::Names(..), _) => format!("were {}, are {}", self.shown(), new.shown()),
            _ => format!("was {}, is {}", self.shown(), new.shown()),
        }
    }
}

impl Item {
    /// The whole item in one sentence, if it is in one policy only.
    pub(super) fn whole(&self, what: &str) -> String {
        let fields: Vec<_> =
            self.fields.iter().map(|field| format!("{} {}", field.name, field.value.shown())).collect();
        let colon = if fields.is_empty() { "" } else { ": " };
        format!("{} {what}{colon}{}", self.name, fields.join(", "))
    }

    /// A sentence for each field that differs.
    pub(super) fn changes(&self, new: &Self, sentences: &mut Vec<String>) {
        let Self { name, fields } = self;
        for Field { name: field, value: was } in fields {
            match new.field(field) {
                Some(is) if is == was => {}
                Some(is) => sentences.push(format!("{name}: {field} {}", was.became(is))),
                None => sentences.push(format!("{name}: {field} is gone: {}", was.shown())),
            }
        }
        for Field { name: field, value: is } in &new.fields {
            if self.field(field).is_none() {
                sentences.push(format!("{name}: {field} is added: {}", is.shown()));
            }
        }
    }

    fn field(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|field| field.name == name).map(|field| &field.value)
    }
}

/// A quotation of `text` from its character `from` on, on one line, without characters that control a terminal.
fn shown(text: &str, from: usize) -> String {
    let mut quoted = String::from(if from > 0 { "`..." } else { "`" });
    let mut letters = text.chars().skip(from);
    for letter in letters.by_ref().take(SHOWN) {
        if letter.is_control() {
            quoted.extend(letter.escape_default());
        } else {
            quoted.push(letter);
        }
    }
    quoted.push_str(if letters.next().is_some() { "...`" } else { "`" });
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_shown_from_where_they_part() {
        let long = |end: &str| Value::Text(format!("{}{end}", "a".repeat(5_000)));
        let said = long("b\n\u{1b}").became(&long("c"));
        assert_eq!(said, format!("was `...{0}b\\n\\u{{1b}}`, is `...{0}c`", "a".repeat(COMMON)));
        let all = long("").shown();
        assert_eq!(all, format!("`{}...`", "a".repeat(SHOWN)));
        assert_eq!(Value::Text("a b".into()).became(&Value::Text("a\tb".into())), "was `a b`, is `a\\tb`");
    }

    #[test]
    fn names_are_gained_and_lost() {
        let names = |names: &[&str]| Value::names("any", names);
        for (old, new, said) in [
            (&["a", "b"][..], &["b", "c"][..], "gain \"c\" and lose \"a\""),
            (&["a"], &["a", "b"], "gain \"b\""),
            (&["a", "b"], &["b"], "lose \"a\""),
            (&["a"], &[], "were \"a\", are any"),
            (&[], &["a"], "were any, are \"a\""),
        ] {
            assert_eq!(names(old).became(&names(new)), said);
        }
    }
}
