//! A rule before it is compiled, from the document's rules or from Cedar text; its condition must be one complete
//! expression. Findings in it are errors, faults (which refuse a new document but not a stored one), and warnings.

use std::{mem, str::FromStr as _, sync::Arc};

use cedar_policy::{Expression, Policy, PolicyId};
use countersign_core::decision::Effect;

use super::{
    absence::asked,
    domain::PolicyDomain,
    nesting, parse_errors,
    scope::{Scope, sorted},
};
use crate::{
    document::{Places, RuleNode, Written},
    text::spelled,
    violation::{At, Noted, Violation, Violations},
};

/// The text before and after a condition when it is checked separately. The line breaks end a comment in the condition.
const CHECK_HEAD: &str = "permit(principal, action, resource) when {\n";
const CHECK_TAIL: &str = "\n};";

/// A rule with its Cedar form.
pub(crate) struct Draft {
    pub(crate) id: Arc<str>,
    pub(crate) effect: Effect,
    pub(crate) scope: Scope,
    pub(crate) domain: PolicyDomain,
    /// The policy that Cedar evaluates. `None` if the scope alone decides.
    pub(crate) policy: Option<Policy>,
    /// The policy that Cedar's validator checks. `None` if nothing can be wrong.
    pub(crate) check: Option<Policy>,
    pub(crate) origin: Origin,
}

/// Where a draft was written.
pub(crate) enum Origin {
    /// Under `rules`.
    Rule { nth: usize, at: At, when: Option<Written> },
    /// In the Cedar text beside the document, from this byte on.
    Cedar { start: usize, text: String },
}

/// The texts, and the violations found in them.
pub(crate) struct Findings<'s> {
    pub(crate) source: &'s str,
    pub(crate) cedar_places: Places<'s>,
    pub(crate) document: Vec<Violation>,
    pub(crate) cedar: Vec<Violation>,
    /// Violations that refuse a new document, but not one that is already stored.
    pub(crate) faults: Noted,
    /// Constructs that are permitted but are probably a mistake.
    pub(crate) warnings: Noted,
}

impl<'s> Findings<'s> {
    /// `document` has the violations found so far.
    pub(crate) fn new(source: &'s str, cedar_source: &'s str, document: Vec<Violation>) -> Self {
        Self {
            source,
            cedar_places: Places::new(cedar_source),
            document,
            cedar: Vec::new(),
            faults: Noted::default(),
            warnings: Noted::default(),
        }
    }

    /// Whether more was found than is written out, so that it is not worth finding the places of the rest.
    pub(crate) fn is_full(&self) -> bool {
        let more = [&self.faults, &self.warnings].map(|noted| noted.document.len() + noted.cedar.len());
        self.document.len() + self.cedar.len() + more.iter().sum::<usize>() > Violations::MAX
    }

    /// Takes out the violations that refuse the document; with `strictly`, the faults too.
    pub(crate) fn errors(&mut self, strictly: bool) -> Noted {
        let mut errors = Noted { document: mem::take(&mut self.document), cedar: mem::take(&mut self.cedar) };
        if strictly {
            errors.document.append(&mut self.faults.document);
            errors.cedar.append(&mut self.faults.cedar);
        }
        errors
    }

    /// Reports something about a draft; `offset` is a byte of its `check`.
    pub(crate) fn report(&mut self, draft: &Draft, offset: Option<usize>, message: impl Into<String>) {
        let violation = self.placed(draft, offset, message);
        let list = if draft.is_rule() { &mut self.document } else { &mut self.cedar };
        list.push(violation);
    }

    /// Adds a finding that is a fault in a deny rule, where it would be a security hole, and a warning in an allow
    /// rule, where it has no effect.
    pub(crate) fn weigh(&mut self, draft: &Draft, offset: Option<usize>, message: impl Into<String>) {
        let violation = self.placed(draft, offset, message);
        let noted = if draft.effect == Effect::Deny { &mut self.faults } else { &mut self.warnings };
        noted.push(draft, violation);
    }

    /// Adds a warning.
    pub(crate) fn warn(&mut self, draft: &Draft, offset: Option<usize>, message: impl Into<String>) {
        let violation = self.placed(draft, offset, message);
        self.warnings.push(draft, violation);
    }

    fn placed(&self, draft: &Draft, offset: Option<usize>, message: impl Into<String>) -> Violation {
        match &draft.origin {
            Origin::Rule { nth, at, when } => {
                let offset = offset.unwrap_or_default().saturating_sub(CHECK_HEAD.len());
                match when {
                    Some(when) => Violation::new(when.place(self.source, offset), when_path(*nth), message),
                    None => Violation::new(*at, format_args!("rules[{nth}]"), message),
                }
            }
            Origin::Cedar { start, .. } => {
                let at = self.cedar_places.of(start + offset.unwrap_or_default());
                Violation::new(at, format_args!("cedar[{}]", draft.id), message)
            }
        }
    }
}

impl Noted {
    fn push(&mut self, draft: &Draft, violation: Violation) {
        let list = if draft.is_rule() { &mut self.document } else { &mut self.cedar };
        list.push(violation);
    }
}

fn when_path(nth: usize) -> String {
    format!("rules[{nth}].when")
}

impl Draft {
    /// Compiles a rule. A condition that is not an expression is reported and left out.
    pub(crate) fn from_rule(nth: usize, rule: RuleNode, findings: &mut Findings<'_>) -> Self {
        let scope = Scope { role: rule.role, tool: rule.tool, actions: rule.actions.map(sorted) };
        let mut draft = Self {
            id: rule.id,
            effect: rule.effect,
            scope,
            domain: PolicyDomain::Runs,
            policy: None,
            check: None,
            origin: Origin::Rule { nth, at: rule.at, when: None },
        };
        if let Some(when) = rule.when {
            match condition(&when) {
                Ok(check) => {
                    draft.policy =
                        Policy::parse(Some(PolicyId::new(&draft.id)), draft.cedar_with(Some(&when.text))).ok();
                    draft.check = Some(check);
                }
                Err(errors) => findings.document.extend(errors.into_iter().map(|(offset, message)| {
                    let at = when.place(findings.source, offset.unwrap_or_default());
                    Violation::new(at, when_path(nth), message)
                })),
            }
            draft.origin = Origin::Rule { nth, at: rule.at, when: Some(when) };
        }
        draft
    }

    pub(crate) const fn is_rule(&self) -> bool {
        matches!(self.origin, Origin::Rule { .. })
    }

    /// Whether its conditions test the presence of an attribute.
    pub(crate) fn asks_presence(&self) -> bool {
        let pst = self.check.as_ref().and_then(|check| check.to_pst().ok());
        pst.is_none_or(|pst| !asked(pst.body().clauses()).is_empty())
    }

    /// The condition of a rule, or the text of a raw policy if Cedar evaluates it.
    pub(crate) fn when(&self) -> Option<&str> {
        match &self.origin {
            Origin::Rule { when, .. } => when.as_ref().map(|when| when.text.as_str()),
            Origin::Cedar { text, .. } => self.policy.as_ref().map(|_| text.as_str()),
        }
    }

    /// Where in its `check` the context's `path` is read, as a search of the text finds it.
    pub(crate) fn mention(&self, path: &[String]) -> Option<usize> {
        let (text, start) = self.text()?;
        let after_dot_or_has = |at: &usize| {
            let before = text[..*at].trim_end();
            before.ends_with(['.', '"']) || before.ends_with("has")
        };
        let exact = words(text, &spelled(path)).next();
        let found = exact.or_else(|| words(text, path.last()?).find(after_dot_or_has));
        found.map(|at| start + at)
    }

    /// Where in its `check` the presence of `path` is tested, as a search of the text finds it; otherwise where it is
    /// named.
    pub(crate) fn question(&self, path: &[String]) -> Option<usize> {
        let (text, start) = self.text()?;
        let name = path.last()?;
        // The tested name may be a path too: `has address.street`.
        let asked = |at: &usize| {
            let before =
                text[..*at].trim_end_matches(|letter: char| letter.is_alphanumeric() || "_.\"".contains(letter));
            before.trim_end().ends_with(" has")
        };
        let found = words(text, name).find(asked);
        found.map(|at| start + at).or_else(|| self.mention(path))
    }

    /// The text of its conditions, and where it begins in its `check`.
    fn text(&self) -> Option<(&str, usize)> {
        match &self.origin {
            Origin::Rule { when, .. } => Some((when.as_ref()?.text.as_str(), CHECK_HEAD.len())),
            Origin::Cedar { text, .. } => Some((text.as_str(), 0)),
        }
    }

    /// The whole policy as Cedar text.
    pub(crate) fn to_cedar(&self) -> String {
        match &self.origin {
            Origin::Rule { when, .. } => self.cedar_with(when.as_ref().map(|when| when.text.as_str())),
            Origin::Cedar { text, .. } => text.clone(),
        }
    }

    fn cedar_with(&self, condition: Option<&str>) -> String {
        let effect = match self.effect {
            Effect::Allow => "permit",
            Effect::Deny => "forbid",
            Effect::RequireApproval => "@require_approval\npermit",
        };
        let condition = condition.map(|text| format!("\nwhen {{\n{text}\n}}")).unwrap_or_default();
        format!("@id({:?})\n{effect}{}{condition};", self.id, self.scope)
    }
}

/// The places in a text where `word` occurs as a whole word.
fn words<'t>(text: &'t str, word: &'t str) -> impl Iterator<Item = usize> + 't {
    let in_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let whole = move |at: &usize| !text[..*at].ends_with(in_word) && !text[at + word.len()..].starts_with(in_word);
    text.match_indices(word).map(|(at, _)| at).filter(whole)
}

/// Reads a condition as a policy over everything. It must be one complete expression: a text that is valid only between
/// the braces, such as `true } unless { false`, is refused.
fn condition(when: &Written) -> Result<Policy, Vec<(Option<usize>, String)>> {
    nesting::statements(&when.text).map_err(|deep| vec![(Some(deep.offset), deep.message)])?;
    Expression::from_str(&when.text).map_err(|errors| parse_errors(&errors).collect::<Vec<_>>())?;
    let text = format!("{CHECK_HEAD}{}{CHECK_TAIL}", when.text);
    Policy::parse(None, text).map_err(|errors| {
        let inside = |offset: usize| offset.saturating_sub(CHECK_HEAD.len());
        parse_errors(&errors).map(|(offset, message)| (offset.map(inside), message)).collect()
    })
}
