//! All violations in a request, collected while it is read.

use std::{collections::BTreeMap, fmt::Display, ops::RangeInclusive, str::FromStr};

use countersign_app::Error;
use countersign_core::{Violation, text};

use super::enums::WireEnum;

/// Longest etag, bytes.
const MAX_ETAG: usize = 64;

/// Reads a request. Each method of [`Violations`] returns `None` if it finds a violation, so a reader reads every field
/// first, and only then builds the result with `?`.
pub(crate) fn read<T>(reader: impl FnOnce(&mut Violations) -> Option<T>) -> Result<T, Error> {
    let mut violations = Violations::default();
    match reader(&mut violations) {
        Some(answer) if violations.found.is_empty() => Ok(answer),
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
    pub(crate) fn refuse(&mut self, field: &str, description: impl Into<String>) {
        self.found.push(Violation::new(format!("{}{field}", self.path), description));
    }

    /// Adds the violations that another check found.
    pub(crate) fn absorb(&mut self, found: impl IntoIterator<Item = Violation>) {
        for violation in found {
            self.refuse(&violation.field, violation.description);
        }
    }

    /// Reads the message in `field`.
    pub(crate) fn within<T>(&mut self, field: &str, reader: impl FnOnce(&mut Self) -> T) -> T {
        let outside = self.path.len();
        self.path.extend([field, "."]);
        let answer = reader(self);
        self.path.truncate(outside);
        answer
    }

    /// An id or a name.
    pub(crate) fn required<T: FromStr<Err: Display>>(&mut self, field: &str, text: &str) -> Option<T> {
        self.optional(field, text)?.or_else(|| {
            self.refuse(field, "is required");
            None
        })
    }

    /// An id or a name; `None` if it is empty.
    #[expect(clippy::option_option, reason = "wrong, absent, or there")]
    pub(crate) fn optional<T: FromStr<Err: Display>>(&mut self, field: &str, text: &str) -> Option<Option<T>> {
        if text.is_empty() {
            return Some(None);
        }
        text.parse().map(Some).map_err(|wrong| self.refuse(field, format!("{wrong}"))).ok()
    }

    /// A list of names; `count` is the permitted number.
    pub(crate) fn list<T: FromStr<Err: Display>>(
        &mut self,
        field: &str,
        texts: &[String],
        count: RangeInclusive<usize>,
    ) -> Option<Vec<T>> {
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
        mut reader: impl FnMut(&mut Self, M) -> Option<T>,
    ) -> Option<Vec<T>> {
        self.counted(field, messages.len(), count)?;
        let numbered = messages.into_iter().enumerate();
        let read: Vec<_> =
            numbered.map(|(nth, message)| self.within(&format!("{field}[{nth}]"), |v| reader(v, message))).collect();
        read.into_iter().collect()
    }

    /// Whether the length of a list is permitted. It is checked before the items, so that a list that is too long is
    /// one violation.
    pub(crate) fn counted(&mut self, field: &str, items: usize, count: RangeInclusive<usize>) -> Option<()> {
        if count.contains(&items) {
            return Some(());
        }
        self.refuse(field, format!("must be {} to {} items, are {items}", count.start(), count.end()));
        None
    }

    /// A free text.
    pub(crate) fn text(&mut self, field: &'static str, text: String, max: usize) -> Option<String> {
        self.checked(text::check(field, &text, max))?;
        Some(text)
    }

    /// A free text; `None` if it is empty.
    #[expect(clippy::option_option, reason = "wrong, absent, or there")]
    pub(crate) fn optional_text(&mut self, field: &'static str, text: String, max: usize) -> Option<Option<String>> {
        if text.is_empty() { Some(None) } else { self.text(field, text, max).map(Some) }
    }

    /// Free labels.
    pub(crate) fn labels(&mut self, labels: BTreeMap<String, String>) -> Option<BTreeMap<String, String>> {
        let wrong = text::check_labels(&labels);
        let right = wrong.is_empty();
        self.absorb(wrong);
        right.then_some(labels)
    }

    /// The version of a resource as last read; `None` if it is empty.
    #[expect(clippy::option_option, reason = "wrong, absent, or there")]
    pub(crate) fn etag(&mut self, etag: String) -> Option<Option<String>> {
        self.token("etag", etag, MAX_ETAG)
    }

    /// A short text for programs, of visible ASCII characters; `None` if it is empty.
    #[expect(clippy::option_option, reason = "wrong, absent, or there")]
    pub(crate) fn token(&mut self, field: &str, token: String, max: usize) -> Option<Option<String>> {
        if token.len() <= max && token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Some(Some(token).filter(|token| !token.is_empty()));
        }
        self.refuse(field, format!("must be at most {max} visible ASCII characters"));
        None
    }

    /// A SHA-256 hash; `None` if it is empty.
    #[expect(clippy::option_option, reason = "wrong, absent, or there")]
    pub(crate) fn hash(&mut self, field: &str, bytes: &[u8]) -> Option<Option<[u8; 32]>> {
        if bytes.is_empty() {
            return Some(None);
        }
        let wrong = |_| self.refuse(field, format!("must be a SHA-256 hash of 32 bytes, is of {}", bytes.len()));
        bytes.try_into().map(Some).map_err(wrong).ok()
    }

    /// An enum value.
    pub(super) fn enum_value<W: WireEnum>(&mut self, field: &str, number: i32) -> Option<W> {
        self.optional_enum(field, number)?.or_else(|| {
            self.refuse(field, "is required");
            None
        })
    }

    /// An enum value; `None` if it is unspecified.
    #[expect(clippy::option_option, reason = "wrong, absent, or there")]
    pub(super) fn optional_enum<W: WireEnum>(&mut self, field: &str, number: i32) -> Option<Option<W>> {
        if number == 0 {
            return Some(None);
        }
        W::from_wire(number).map(Some).or_else(|| {
            self.refuse(field, format!("has no value {number} in this server"));
            None
        })
    }

    /// A number within its limits.
    pub(crate) fn number<T: TryFrom<i64>>(
        &mut self,
        field: &str,
        number: impl Into<i64>,
        bounds: RangeInclusive<i64>,
    ) -> Option<T> {
        let number = number.into();
        let read = T::try_from(number).ok().filter(|_| bounds.contains(&number));
        if read.is_none() {
            self.refuse(field, format!("must be {} to {}, is {number}", bounds.start(), bounds.end()));
        }
        read
    }

    /// The result of a check of the domain, with its violation added.
    pub(crate) fn checked<T>(&mut self, outcome: Result<T, Violation>) -> Option<T> {
        outcome.map_err(|violation| self.absorb([violation])).ok()
    }
}
