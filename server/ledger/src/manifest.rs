//! Manifests: what a range of the log holds, counted, in as many leaves (parts) as it takes. A manifest that is read
//! again must have every part, and its counts must add up. `docs/custody-leaf.md` has the rules.

use std::{borrow::Cow, collections::BTreeMap};

use crate::leaf::{Count, Decimal, Emitter, Figure, Kind, Leaf, MAX_COUNTS, Timestamp};

/// What a range of the log holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manifest {
    /// The first index.
    pub first_index: u64,
    /// The last index, which is in the range.
    pub last_index: u64,
    /// Allowed calls without an outcome.
    pub open_decisions: u64,
    /// The counts, which together hold each event once. In any order, each combination once.
    pub counts: Vec<Count<'static>>,
    /// The reporters, in any order, each once.
    pub emitters: Vec<Emitter<'static>>,
}

/// Why leaves are not the manifest of a range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// A figure that every manifest has is missing.
    #[error("a manifest must state {0} in its figures")]
    Figure(&'static str),
    /// The range is upside down, or does not lie before the manifest.
    #[error("a manifest's range ends before it begins, or behind the manifest itself")]
    Range,
    /// A part is missing, or is there twice.
    #[error(
        "the manifest of {first_index} to {last_index} has {parts} parts, and part {part} is missing or there twice"
    )]
    Part {
        /// The first index of its range.
        first_index: u64,
        /// The last index.
        last_index: u64,
        /// The part.
        part: u64,
        /// How many parts it has.
        parts: u64,
    },
    /// The counts do not add up.
    #[error("the counts of the manifest of {first_index} to {last_index} do not add up to its {what}")]
    Sum {
        /// The first index of its range.
        first_index: u64,
        /// The last index.
        last_index: u64,
        /// What they do not add up to.
        what: String,
    },
}

impl Manifest {
    /// The leaves of this manifest, at least one. `event_id` gives a new id for each.
    #[must_use]
    pub fn leaves(&self, at: Timestamp, mut event_id: impl FnMut() -> String) -> Vec<Leaf<'static>> {
        let mut counts = self.counts.clone();
        counts.sort_by(|a, b| key(a).cmp(&key(b)));
        let mut emitters = self.emitters.clone();
        emitters.sort_by(|a, b| a.emitter_id.cmp(&b.emitter_id));
        let mut figures: BTreeMap<Cow<'static, str>, u64> = BTreeMap::new();
        for count in &counts {
            *figures.entry(count.kind.as_str().into()).or_insert(0) += count.count.0;
        }
        figures.insert("open_decisions".into(), self.open_decisions);
        let parts = (counts.len() + emitters.len()).div_ceil(MAX_COUNTS).max(1) as u64;
        let (mut counts, mut emitters) = (counts.into_iter(), emitters.into_iter());
        let parts = (1..=parts).map(|part| {
            let mut figures = std::mem::take(&mut figures);
            let range = [("first_index", self.first_index), ("last_index", self.last_index)];
            figures.extend(range.map(|(name, value)| (name.into(), value)));
            figures.extend([("part", part), ("parts", parts)].map(|(name, value)| (name.into(), value)));
            let figures = figures.into_iter().map(|(name, value)| Figure { name, value: Decimal(value) }).collect();
            let counts: Vec<_> = counts.by_ref().take(MAX_COUNTS).collect();
            let emitters = emitters.by_ref().take(MAX_COUNTS - counts.len()).collect();
            Leaf { counts, emitters, figures, ..Leaf::new(Kind::Manifest, event_id(), at) }
        });
        parts.collect()
    }

    /// Puts the parts of one manifest, which state the same range, together again.
    pub fn collect(parts: &[&Leaf<'static>]) -> Result<Self, ManifestError> {
        let mut parts: Vec<(u64, &Leaf<'static>)> =
            parts.iter().map(|leaf| (figure(leaf, "part").unwrap_or(1), *leaf)).collect();
        parts.sort_by_key(|(part, _)| *part);
        let &(_, first) = parts.first().ok_or(ManifestError::Figure("parts"))?;
        let (first_index, last_index) = range(first)?;
        let count = figure(first, "parts").unwrap_or(1);
        let lacking = (1..).zip(&parts).find(|(wanted, (part, _))| wanted != part).map(|(wanted, _)| wanted);
        if lacking.is_some() || parts.len() as u64 != count {
            let part = lacking.unwrap_or(parts.len() as u64 + 1);
            return Err(ManifestError::Part { first_index, last_index, part, parts: count });
        }
        let open_decisions = figure(first, "open_decisions").ok_or(ManifestError::Figure("open_decisions"))?;
        let counts = parts.iter().flat_map(|(_, leaf)| leaf.counts.iter().cloned()).collect();
        let emitters = parts.iter().flat_map(|(_, leaf)| leaf.emitters.iter().cloned()).collect();
        let manifest = Self { first_index, last_index, open_decisions, counts, emitters };
        manifest.adds_up(|kind| figure(first, kind).unwrap_or(0))?;
        Ok(manifest)
    }

    fn adds_up(&self, stated: impl Fn(&str) -> u64) -> Result<(), ManifestError> {
        let (first_index, last_index) = (self.first_index, self.last_index);
        let refuse = |what: String| Err(ManifestError::Sum { first_index, last_index, what });
        let sum = |kind: Option<Kind>| -> u128 {
            let counts = self.counts.iter().filter(|count| kind.is_none_or(|kind| count.kind == kind));
            counts.map(|count| u128::from(count.count.0)).sum()
        };
        if sum(None) != u128::from(last_index - first_index) + 1 {
            return refuse("range".to_owned());
        }
        match Kind::ALL.iter().find(|kind| sum(Some(**kind)) != u128::from(stated(kind.as_str()))) {
            Some(kind) => refuse(format!("figure {kind}")),
            None => Ok(()),
        }
    }
}

/// The range that a part of a manifest states.
pub fn range(leaf: &Leaf<'_>) -> Result<(u64, u64), ManifestError> {
    let first = figure(leaf, "first_index").ok_or(ManifestError::Figure("first_index"))?;
    let last = figure(leaf, "last_index").ok_or(ManifestError::Figure("last_index"))?;
    if first <= last { Ok((first, last)) } else { Err(ManifestError::Range) }
}

fn figure(leaf: &Leaf<'_>, name: &str) -> Option<u64> {
    leaf.figures.iter().find(|figure| figure.name == name).map(|figure| figure.value.0)
}

fn key<'c>(count: &'c Count<'_>) -> (&'static str, Option<&'c str>, Option<&'c str>) {
    (count.kind.as_str(), count.sponsor_id.as_deref(), count.tool_id.as_deref())
}
