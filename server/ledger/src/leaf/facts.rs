//! The attributes that a decision read (`context`), the charges that it counted, and the counts and emitters of a
//! manifest. As in the leaf, the order of the fields is the order in which they are hashed.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{AttributeType, Decimal, Kind, Timestamp};

/// An attribute that the decision read and that the policy document marks as recorded.
///
/// The value is always a string, and `type` says how to read it. So the integer 5, the word `5` and a boolean are never
/// confused, and an index of events has only one type of value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attribute<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// When the value was taken, if the caller said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    /// The type of the value.
    #[serde(rename = "type")]
    pub kind: AttributeType,
    /// Its value: decimal digits, `true` or `false`, or a word.
    pub value: Cow<'a, str>,
}

impl<'a> Attribute<'a> {
    /// An integer.
    #[must_use]
    pub fn integer(name: impl Into<Cow<'a, str>>, value: i64) -> Self {
        Self::new(name, AttributeType::Integer, value.to_string())
    }

    /// A boolean.
    #[must_use]
    pub fn boolean(name: impl Into<Cow<'a, str>>, value: bool) -> Self {
        Self::new(name, AttributeType::Boolean, if value { "true" } else { "false" })
    }

    /// One of the words that the policy document lists for the attribute.
    #[must_use]
    pub fn word(name: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) -> Self {
        Self::new(name, AttributeType::Word, value)
    }

    fn new(name: impl Into<Cow<'a, str>>, kind: AttributeType, value: impl Into<Cow<'a, str>>) -> Self {
        Self { name: name.into(), time: None, kind, value: value.into() }
    }
}

/// What the call counted, or would have counted, against one budget.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Charge<'a> {
    /// The amount.
    pub amount: Decimal,
    /// The counter, as an id that reveals nothing by itself.
    pub key: Cow<'a, str>,
    /// The limit, if the amount was above it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Decimal>,
    /// The counted member, if different things are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<Cow<'a, str>>,
    /// What is counted, and how.
    pub meter: Cow<'a, str>,
    /// What was counted before, if the amount was above the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<Decimal>,
}

/// How many events of one kind, sponsor and tool a manifest's range has. Every event of the range is in one count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Count<'a> {
    /// How many.
    pub count: Decimal,
    /// The kind of the events.
    pub kind: Kind,
    /// The sponsor that they state; left out for events that state none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sponsor_id: Option<Cow<'a, str>>,
    /// The tool that they state; left out for events that state none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_id: Option<Cow<'a, str>>,
}

/// What one reporter's own count says about a manifest's range.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Emitter<'a> {
    /// The reporter.
    pub emitter_id: Cow<'a, str>,
    /// The lowest number of its events in the range.
    pub first_seq: Decimal,
    /// The highest.
    pub last_seq: Decimal,
    /// How many numbers between them no event in the range has.
    pub missing: Decimal,
}
