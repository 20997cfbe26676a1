//! The types of the context's attributes: as the document declares them, or inferred from the conditions that use them.
//! An attribute has one type in a whole document. This file decides which attributes a rule may read, and which may be
//! missing.
//!
//! A document need not declare the context of a call. `context.amount_cents <= 50000` can only be evaluated if the
//! attribute is a whole number, and that is sufficient to check all conditions strictly, because an attribute has one
//! type in a whole document. If no use shows the type (`context.a == context.b`), the conditions that read it are not
//! checked against a guess.
//!
//! If the document declares the context, rules may read only what it declares, and no use changes a type.

use std::{collections::BTreeMap, fmt::Write as _};

use crate::{
    context::PURPOSE,
    schema::{ContextAttribute, ContextType, Scalar},
    text::{listed, spelled},
};

/// Names from the context down: `["a", "b"]` is `context.a.b`.
pub(crate) type Path = Vec<String>;

/// One use of the context. An empty path is the context as a whole.
pub(crate) struct Read {
    pub(crate) path: Path,
    pub(crate) kind: Option<Kind>,
    /// Whether it only tests the presence.
    pub(crate) presence: bool,
}

/// The type of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    One(Scalar),
    /// A set, with the type of its items if a use shows it.
    Set(Option<Scalar>),
}

pub(crate) const BOOL: Kind = Kind::One(Scalar::Bool);
pub(crate) const LONG: Kind = Kind::One(Scalar::Long);
pub(crate) const STRING: Kind = Kind::One(Scalar::String);
pub(crate) const TEXTS: Kind = Kind::Set(Some(Scalar::String));

impl Kind {
    /// The type in words for messages.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::One(scalar) => scalar.words(),
            Self::Set(None) => "a set",
            Self::Set(Some(scalar)) => scalar.set_words(),
        }
    }

    const fn schema(self) -> &'static str {
        match self {
            Self::One(Scalar::Bool) => "Bool",
            Self::One(Scalar::Long) => "Long",
            Self::One(Scalar::String) => "String",
            Self::Set(Some(Scalar::Bool)) => "Set<Bool>",
            Self::Set(Some(Scalar::Long)) => "Set<Long>",
            Self::Set(Some(Scalar::String) | None) => "Set<String>",
        }
    }
}

/// The source of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// The document, under `context`.
    Declaration,
    /// A use in a draft.
    Draft(usize),
}

/// What is known of a path, and who said so.
#[derive(Debug, Clone, Copy)]
struct Known {
    kind: Option<Kind>,
    by: By,
}

/// What is known of the context.
#[derive(Default)]
pub(crate) struct ContextTypes<'d> {
    known: BTreeMap<Path, Known>,
    /// None: the document declares nothing.
    declared: Option<BTreeMap<Path, &'d ContextAttribute>>,
}

impl<'d> ContextTypes<'d> {
    /// The types that are known before any condition is read.
    pub(crate) fn declared(declared: Option<&'d [ContextAttribute]>) -> Self {
        let mut types = Self { known: BTreeMap::new(), declared: declared.map(|_| BTreeMap::new()) };
        for attribute in declared.into_iter().flatten() {
            types.declare(&Path::new(), attribute);
        }
        types
    }

    fn declare(&mut self, parent: &[String], attribute: &'d ContextAttribute) {
        let path = [parent, std::slice::from_ref(&attribute.name)].concat();
        let kind = match &attribute.kind {
            ContextType::One(scalar) => Some(Kind::One(*scalar)),
            ContextType::Set(scalar) => Some(Kind::Set(Some(*scalar))),
            ContextType::Record(attributes) => {
                for attribute in attributes {
                    self.declare(&path, attribute);
                }
                None
            }
        };
        self.known.insert(path.clone(), Known { kind, by: By::Declaration });
        self.declared.get_or_insert_default().insert(path, attribute);
    }

    pub(crate) fn kind(&self, path: &[String]) -> Option<Kind> {
        self.known.get(path).and_then(|known| known.kind)
    }

    /// Whether the document declares the context.
    pub(crate) const fn is_declared(&self) -> bool {
        self.declared.is_some()
    }

    /// Whether there is a mapping at `path` of which only the attributes that rules read are known.
    pub(crate) fn is_open(&self, path: &[String]) -> bool {
        !self.is_declared() && (path.is_empty() || self.below(path).is_some())
    }

    /// Whether the attribute at `path` may be missing in a call. An attribute of certain tools' calls is not optional
    /// for that reason.
    pub(crate) fn is_optional(&self, path: &[String]) -> bool {
        if path == [PURPOSE] {
            return false;
        }
        let Some(declared) = &self.declared else { return true };
        let attributes = (1..=path.len()).filter_map(|end| declared.get(path.get(..end)?));
        attributes.into_iter().any(|attribute| !attribute.required)
    }

    /// Whether the type at `path` is unknown.
    pub(crate) fn is_guess(&self, path: &[String]) -> bool {
        match self.kind(path) {
            None => path.is_empty() || self.below(path).is_none(),
            Some(kind) => kind == Kind::Set(None),
        }
    }

    /// Why a rule for `tool` (`None` for every tool) may not read the attribute at `path`, if it may not.
    pub(crate) fn unreadable(&self, path: &[String], tool: Option<&str>) -> Option<String> {
        let declared = self.declared.as_ref()?;
        let (top, name) = (declared.get(path.get(..1)?), spelled(path));
        if top.is_none() && path == [PURPOSE] {
            return None;
        }
        if !declared.contains_key(path) {
            let names = declared.keys().filter(|path| path.len() == 1).filter_map(|path| path.first());
            return Some(format!("{name} is not declared under `context`; declared are {}", listed(names)));
        }
        let (tools, tool) = (&top?.tools, tool?);
        let elsewhere = !tools.is_empty() && !tools.iter().any(|listed| listed.as_str() == tool);
        elsewhere.then(|| {
            let tools = listed(tools.iter().map(|tool| format!("{:?}", tool.as_str())));
            format!("{name} is declared for calls on {tools}, and this rule is for {tool:?}")
        })
    }

    /// Whether `path` leads into an attribute that is declared as a value.
    pub(crate) fn is_inside_value(&self, path: &[String]) -> bool {
        let declared = |end: usize| self.declared.as_ref().and_then(|declared| declared.get(path.get(..end)?));
        (1..path.len()).filter_map(declared).any(|attribute| !matches!(attribute.kind, ContextType::Record(_)))
    }

    /// A use of an attribute below `path`, which makes it a mapping.
    fn below(&self, path: &[String]) -> Option<By> {
        let after = (std::ops::Bound::Excluded(path), std::ops::Bound::Unbounded);
        let (next, known) = self.known.range::<[String], _>(after).next()?;
        next.starts_with(path).then_some(known.by)
    }

    /// Adds a use by a draft. `Ok(true)` if it is new. If it contradicts, the error is the source of the other type,
    /// and that type.
    pub(crate) fn note(&mut self, read: &Read, by: usize) -> Result<bool, (By, &'static str)> {
        let by = By::Draft(by);
        let entry = self.known.entry(read.path.clone()).or_insert(Known { kind: None, by });
        let new = match (entry.kind, read.kind) {
            (None, Some(kind)) | (Some(Kind::Set(None)), Some(kind @ Kind::Set(Some(_)))) => Some(kind),
            (Some(Kind::Set(_)), Some(Kind::Set(None))) | (_, None) => None,
            (Some(before), Some(now)) if before == now => None,
            (Some(before), Some(_)) => return Err((entry.by, before.words())),
        };
        if let Some(kind) = new {
            *entry = Known { kind: Some(kind), by };
        }
        Ok(new.is_some())
    }

    /// A path that is used both as a value and as a mapping, and the sources.
    pub(crate) fn torn(&self) -> Option<(&Path, By, By)> {
        self.known.iter().filter(|(_, known)| known.kind.is_some()).find_map(|(path, known)| {
            let other = self.below(path)?;
            Some((path, known.by, other))
        })
    }

    /// The context as a type of Cedar's schema language: for a rule about one tool, or for one about every tool, in
    /// which attributes of certain tools' calls are optional. Attributes that no document declares may be missing in
    /// any call, and rules may read them without a presence test, except with `asked_for`.
    pub(crate) fn schema(&self, for_one_tool: bool, asked_for: bool) -> String {
        let optional = |path: &[String]| match &self.declared {
            None => asked_for && path != [PURPOSE],
            Some(declared) => declared
                .get(path)
                .is_some_and(|attribute| !attribute.required || !(for_one_tool || attribute.tools.is_empty())),
        };
        let known = self.known.iter().filter(|(path, _)| !path.is_empty());
        let known: Vec<_> =
            known.map(|(path, known)| Entry { path, kind: known.kind, optional: optional(path) }).collect();
        let mut text = String::new();
        record(&mut text, &known);
        text
    }
}

/// The known type of one path below a record.
struct Entry<'t> {
    path: &'t [String],
    kind: Option<Kind>,
    optional: bool,
}

/// Writes the record of `entries`, which are sorted, so that the entries below one name are together.
fn record(text: &mut String, entries: &[Entry<'_>]) {
    text.push('{');
    for group in entries.chunk_by(|one, other| one.path.first() == other.path.first()) {
        let Some((first, name)) = group.first().and_then(|entry| Some((entry, entry.path.first()?))) else {
            continue;
        };
        let itself = first.path.len() == 1;
        // Writing to a String cannot fail.
        let _ = write!(text, "{name:?}{}: ", if itself && first.optional { "?" } else { "" });
        let inner: Vec<_> = group
            .iter()
            .map(|entry| Entry { path: &entry.path[1..], ..*entry })
            .filter(|entry| !entry.path.is_empty())
            .collect();
        if inner.is_empty() || (itself && first.kind.is_some()) {
            text.push_str(first.kind.unwrap_or(STRING).schema());
        } else {
            record(text, &inner);
        }
        text.push_str(", ");
    }
    text.push('}');
}
