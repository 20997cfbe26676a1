//! What the strings of a leaf may look like. No shape admits a space, a quote, a backslash, a control character or
//! anything beyond ASCII: free text has no way in, and no string is ever escaped.

use std::borrow::Cow;

use super::{Change, Figure, Leaf, LeafError};

#[derive(Clone, Copy)]
enum Shape {
    /// A prefix and a UUID as the server writes it: lower-case, hyphenated.
    Id(&'static str, &'static str),
    /// An id that people choose.
    Name,
    /// An upper-case word: reason codes and states.
    Code,
    /// Visible ASCII without quotes and backslashes: rule ids, key ids, versions.
    Token,
    /// The same, longer: values of changes.
    Value,
}

const INSTANCE: Shape = Shape::Id("inst_", "inst_ and a lower-case UUID");
const DECISION: Shape = Shape::Id("dec_", "dec_ and a lower-case UUID");
const EVENT: Shape = Shape::Id("evt_", "evt_ and a lower-case UUID");
const APPROVAL: Shape = Shape::Id("appr_", "appr_ and a lower-case UUID");
const CREDENTIAL: Shape = Shape::Id("cred_", "cred_ and a lower-case UUID");
const ROLLOUT: Shape = Shape::Id("roll_", "roll_ and a lower-case UUID");

impl Shape {
    const fn words(self) -> &'static str {
        match self {
            Self::Id(_, words) => words,
            Self::Name => "1 to 64 characters of a-z 0-9 . _ @ -",
            Self::Code => "1 to 64 characters of A-Z 0-9 _, the first a letter",
            Self::Token => "1 to 128 visible ASCII characters other than \" and \\",
            Self::Value => "1 to 1024 visible ASCII characters other than \" and \\",
        }
    }

    fn fits(self, text: &str) -> bool {
        let bytes = text.as_bytes();
        match self {
            Self::Id(prefix, _) => text.strip_prefix(prefix).is_some_and(is_uuid),
            Self::Name => {
                (1..=64).contains(&bytes.len())
                    && bytes.iter().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'@' | b'-'))
            }
            Self::Code => {
                (1..=64).contains(&bytes.len())
                    && bytes[0].is_ascii_uppercase()
                    && bytes.iter().all(|b| matches!(b, b'A'..=b'Z' | b'0'..=b'9' | b'_'))
            }
            Self::Token => (1..=128).contains(&bytes.len()) && text.bytes().all(is_visible),
            Self::Value => (1..=1024).contains(&bytes.len()) && text.bytes().all(is_visible),
        }
    }
}

const fn is_visible(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\')
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(i, b)| match i {
            8 | 13 | 18 | 23 => b == b'-',
            _ => matches!(b, b'0'..=b'9' | b'a'..=b'f'),
        })
}

fn ensure(fits: bool, field: &'static str, wanted: &'static str) -> Result<(), LeafError> {
    if fits { Ok(()) } else { Err(LeafError::Shape { field, wanted }) }
}

fn one(field: &'static str, value: &str, shape: Shape) -> Result<(), LeafError> {
    ensure(shape.fits(value), field, shape.words())
}

fn maybe(field: &'static str, value: Option<&Cow<'_, str>>, shape: Shape) -> Result<(), LeafError> {
    value.map_or(Ok(()), |value| one(field, value, shape))
}

fn each(field: &'static str, values: &[Cow<'_, str>], shape: Shape) -> Result<(), LeafError> {
    values.iter().try_for_each(|value| one(field, value, shape))
}

fn ordered<T>(field: &'static str, list: &[T], name: impl Fn(&T) -> &str) -> Result<(), LeafError> {
    if list.is_sorted_by(|a, b| name(a) < name(b)) { Ok(()) } else { Err(LeafError::Unordered { field }) }
}

impl Leaf<'_> {
    /// Checks the shape of everything that its type does not fix already.
    pub(super) fn check_shapes(&self) -> Result<(), LeafError> {
        one("event_id", &self.event_id, EVENT)?;
        for (field, value, shape) in [
            ("action", &self.action, Shape::Name),
            ("agent_instance_id", &self.agent_instance_id, INSTANCE),
            ("approval_id", &self.approval_id, APPROVAL),
            ("cached_from", &self.cached_from, DECISION),
            ("credential_id", &self.credential_id, CREDENTIAL),
            ("emitter_id", &self.emitter_id, Shape::Token),
            ("operator_id", &self.operator_id, Shape::Name),
            ("parent_agent_id", &self.parent_agent_id, INSTANCE),
            ("policy_decision_id", &self.policy_decision_id, DECISION),
            ("policy_version", &self.policy_version, Shape::Token),
            ("reason", &self.reason, Shape::Code),
            ("root_instance_id", &self.root_instance_id, INSTANCE),
            ("sponsor_id", &self.sponsor_id, Shape::Name),
            ("state_after", &self.state_after, Shape::Code),
            ("state_before", &self.state_before, Shape::Code),
            ("tool_id", &self.tool_id, Shape::Name),
        ] {
            maybe(field, value.as_ref(), shape)?;
        }
        each("rule_ids", &self.rule_ids, Shape::Token)?;
        self.check_lists()?;
        self.check_details()
    }

    fn check_lists(&self) -> Result<(), LeafError> {
        for Change { after, before, field } in &self.changes {
            one("changes.field", field, Shape::Name)?;
            maybe("changes.after", after.as_ref(), Shape::Value)?;
            maybe("changes.before", before.as_ref(), Shape::Value)?;
            ensure(after.is_some() || before.is_some(), "changes", "entries with a value before, after or both")?;
        }
        self.figures.iter().try_for_each(|Figure { name, .. }| one("figures.name", name, Shape::Name))?;
        ordered("changes", &self.changes, |change| &change.field)?;
        ordered("figures", &self.figures, |figure| &figure.name)
    }

    fn check_details(&self) -> Result<(), LeafError> {
        if let Some(grant) = &self.grant {
            one("grant.agent", &grant.agent, Shape::Name)?;
            one("grant.role", &grant.role, Shape::Name)?;
            maybe("grant.key_id", grant.key_id.as_ref(), Shape::Token)?;
            each("grant.tools", &grant.tools, Shape::Name)?;
        }
        if let Some(rollout) = &self.rollout {
            one("rollout.id", &rollout.id, ROLLOUT)?;
            ensure(rollout.bucket.is_none_or(|bucket| bucket < 10_000), "rollout.bucket", "0 to 9999")?;
            ensure(rollout.percent <= 100, "rollout.percent", "0 to 100")?;
            ensure(rollout.percent_before.is_none_or(|percent| percent <= 100), "rollout.percent_before", "0 to 100")?;
        }
        if let Some(shadow) = &self.shadow {
            one("shadow.reason", &shadow.reason, Shape::Code)?;
            maybe("shadow.policy_version", shadow.policy_version.as_ref(), Shape::Token)?;
            each("shadow.rule_ids", &shadow.rule_ids, Shape::Token)?;
        }
        if let Some(subject) = &self.subject {
            one("subject.type", &subject.kind, Shape::Name)?;
            maybe("subject.id", subject.id.as_ref(), Shape::Token)?;
        }
        self.terms.as_ref().map_or(Ok(()), |terms| each("terms.roles", &terms.roles, Shape::Name))
    }
}
