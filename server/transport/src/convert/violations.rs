//! All violations in a request, collected while it is read: of required fields, ids, lists and their lengths, texts,
//! labels, enums, numbers, hashes, tokens and etags (`MAX_ETAG`).

use std::{collections::BTreeMap, fmt::Display, ops::RangeInclusive, str::FromStr};

use countersign_app::Error;
use countersign_core::{Violation, text};

use super::enums::WireEnum;

/// Longest etag, bytes.
const MAX_ETAG: usize = 64;

/// The value was refused; the violations say why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused;

/// Reads a request. Each method of [`Violations`] returns `None` if it finds a violation, so a reader reads every field
/// first, and only then builds the result with `?`.
pub(crate) fn read<T>(reader: impl FnOnce(&mut Violations) -> Result<T, Refused>) -> Result<T, Error> {
    let mut violations = Violations::default();
    match reader(&mut violations) {
        Ok(answer) if violations.found.is_empty() => Ok(answer),
        _ => Err(Error::Invalid(violations.found)),
    }
}

/// The violations found so far.
#[derive(Debug, Default)]
pub(crate) struct Violations {
    /// The reader's position in the request, such as `requests[3].`.
    path: String,
    found: Vec<Violation>,
}

impl Violations {
    /// Adds a violation of `field`.
    pub(crate) fn refuse(&mut self, field: &str, description: impl Into<String>) -> Refused {
        self.found.push(Violation::new(format!("{}{field}", self.path), description));
        Refused
    }

    /// Adds the violations that another check found.
    pub(crate) fn absorb(&mut self, found: impl IntoIterator<Item = Violation>) -> Refused {
        for violation in found {
            self.refuse(&violation.field, violation.description);
        }
        Refused
    }

    /// Reads the message in `field`.
    pub(crate) fn within<T>(&mut self, field: &str, reader: impl FnOnce(&mut Self) -> T) -> T {
        let outside = self.path.len();
        self.path.extend([field, "."]);
        let answer = reader(self);
        self.path.truncate(outside);
        answer
    }

    /// What was read of a field that must be there.
    pub(crate) fn present<T>(&mut self, field: &str, read: Result<Option<T>, Refused>) -> Result<T, Refused> {
        read?.ok_or_else(|| self.refuse(field, "is required"))
    }

    /// An id or a name.
    pub(crate) fn required<T: FromStr<Err: Display>>(&mut self, field: &str, text: &str) -> Result<T, Refused> {
        let read = self.optional(field, text);
        self.present(field, read)
    }

    /// An id or a name; `None` if it is empty.
    pub(crate) fn optional<T: FromStr<Err: Display>>(&mut self, field: &str, text: &str) -> Result<Option<T>, Refused> {
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|wrong| self.refuse(field, format!("{wrong}")))
    }

    /// A list of names; `count` is the permitted number.
    pub(crate) fn list<T: FromStr<Err: Display>>(
        &mut self,
        field: &str,
        texts: &[String],
        count: RangeInclusive<usize>,
    ) -> Result<Vec<T>, Refused> {
        self.counted(field, texts.len(), count)?;
        let read: Vec<_> =
            texts.iter().enumerate().map(|(nth, text)| self.required(&format!("{field}[{nth}]"), text)).collect();
        read.into_iter().collect()
    }

    /// A list of messages, each read by `reader`; `count` is the permitted number.
    pub(crate) fn each<M, T>(
        &mut self,
        field: &str,
        messages: Vec<M>,
        count: RangeInclusive<usize>,
        mut reader: impl FnMut(&mut Self, M) -> Result<T, Refused>,
    ) -> Result<Vec<T>, Refused> {
        self.counted(field, messages.len(), count)?;
        let numbered = messages.into_iter().enumerate();
        let read: Vec<_> =
            numbered.map(|(nth, message)| self.within(&format!("{field}[{nth}]"), |v| reader(v, message))).collect();
        read.into_iter().collect()
    }

    /// Whether the length of a list is permitted. It is checked before the items, so that a list that is too long is
    /// one violation.
    pub(crate) fn counted(&mut self, field: &str, items: usize, count: RangeInclusive<usize>) -> Result<(), Refused> {
        if count.contains(&items) {
            return Ok(());
        }
        Err(self.refuse(field, format!("must be {} to {} items, are {items}", count.start(), count.end())))
    }

    /// A free text.
    pub(crate) fn text(&mut self, field: &'static str, text: String, max: usize) -> Result<String, Refused> {
        self.checked(text::check(field, &text, max)).map(|()| text)
    }

    /// A free text; `None` if it is empty.
    pub(crate) fn optional_text(
        &mut self,
        field: &'static str,
        text: String,
        max: usize,
    ) -> Result<Option<String>, Refused> {
        if text.is_empty() { Ok(None) } else { self.text(field, text, max).map(Some) }
    }

    /// Free labels.
    pub(crate) fn labels(&mut self, labels: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Refused> {
        let wrong = text::check_labels(&labels);
        if wrong.is_empty() { Ok(labels) } else { Err(self.absorb(wrong)) }
    }

    /// The version of a resource as last read; `None` if it is empty.
    pub(crate) fn etag(&mut self, etag: String) -> Result<Option<String>, Refused> {
        self.token("etag", etag, MAX_ETAG)
    }

    /// A short text for programs, of visible ASCII characters; `None` if it is empty.
    pub(crate) fn token(&mut self, field: &str, token: String, max: usize) -> Result<Option<String>, Refused> {
        if token.len() <= max && token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Ok(Some(token).filter(|token| !token.is_empty()));
        }
        Err(self.refuse(field, format!("must be at most {max} visible ASCII characters")))
    }

    /// A SHA-256 hash; `None` if it is empty.
    pub(crate) fn hash(&mut self, field: &str, bytes: &[u8]) -> Result<Option<[u8; 32]>, Refused> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let wrong = |_| self.refuse(field, format!("must be a SHA-256 hash of 32 bytes, is of {}", bytes.len()));
        bytes.try_into().map(Some).map_err(wrong)
    }

    /// An enum value.
    pub(super) fn enum_value<W: WireEnum>(&mut self, field: &str, number: i32) -> Result<W, Refused> {
        let read = self.optional_enum(field, number);
        self.present(field, read)
    }

    /// An enum value; `None` if it is unspecified.
    pub(super) fn optional_enum<W: WireEnum>(&mut self, field: &str, number: i32) -> Result<Option<W>, Refused> {
        if number == 0 {
            return Ok(None);
        }
        let known = W::from_wire(number).map(Some);
        known.ok_or_else(|| self.refuse(field, format!("has no value {number} in this server")))
    }

    /// A number within its limits.
    pub(crate) fn number<T: TryFrom<i64>>(
        &mut self,
        field: &str,
        number: impl Into<i64>,
        bounds: RangeInclusive<i64>,
    ) -> Result<T, Refused> {
        let number = number.into();
        let read = T::try_from(number).ok().filter(|_| bounds.contains(&number));
        read.ok_or_else(|| self.refuse(field, format!("must be {} to {}, is {number}", bounds.start(), bounds.end())))
    }

    /// The result of a check of the domain, with its violation added.
    pub(crate) fn checked<T>(&mut self, outcome: Result<T, Violation>) -> Result<T, Refused> {
        outcome.map_err(|violation| self.absorb([violation]))
    }
}
