//! A rule on its way to being compiled, whether it was written as a rule or as raw Cedar.

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

/// What stands before and after a condition when it is checked by itself. The line breaks end a comment in the condition.
const CHECK_HEAD: &str = "permit(principal, action, resource) when {\n";
const CHECK_TAIL: &str = "\n};";

/// A rule with its Cedar.
pub(crate) struct Draft {
    pub(crate) id: Arc<str>,
    pub(crate) effect: Effect,
    pub(crate) scope: Scope,
    pub(crate) domain: PolicyDomain,
    /// What Cedar evaluates; none where the scope alone decides.
    pub(crate) policy: Option<Policy>,
    /// What Cedar's validator looks at; none where nothing can be wrong.
    pub(crate) check: Option<Policy>,
    pub(crate) origin: Origin,
}

/// Where a draft was written.
pub(crate) enum Origin {
    /// Under `rules`.
    Rule { nth: usize, at: At, when: Option<Written> },
    /// In the Cedar beside the document, from this byte on.
    Cedar { start: usize, text: String },
}

/// The texts, and what is wrong with them.
pub(crate) struct Findings<'s> {
    pub(crate) source: &'s str,
    pub(crate) cedar_places: Places<'s>,
    pub(crate) document: Vec<Violation>,
    pub(crate) cedar: Vec<Violation>,
    /// What a document that is stored already may still have, and a new one may not.
    pub(crate) faults: Noted,
    /// What may be meant, and probably is not.
    pub(crate) warnings: Noted,
}

impl<'s> Findings<'s> {
    /// `document`: what is wrong already.
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

    /// Whether more was found than is written out, so that where the rest stands is not worth looking for.
    pub(crate) fn is_full(&self) -> bool {
        let more = [&self.faults, &self.warnings].map(|noted| noted.document.len() + noted.cedar.len());
        self.document.len() + self.cedar.len() + more.iter().sum::<usize>() > Violations::MAX
    }

    /// Takes out what refuses the document; `strictly`: faults too.
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

    /// Notes what must not be in a new deny rule, where it would be a hole, and in an allow rule is only of no use.
    pub(crate) fn weigh(&mut self, draft: &Draft, offset: Option<usize>, message: impl Into<String>) {
        let violation = self.placed(draft, offset, message);
        let noted = if draft.effect == Effect::Deny { &mut self.faults } else { &mut self.warnings };
        noted.push(draft, violation);
    }

    /// Warns.
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
    /// Compiles a rule. Where its condition is no expression, that is reported and the condition left out.
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

    /// Whether its conditions ask if anything is there.
    pub(crate) fn asks_presence(&self) -> bool {
        let pst = self.check.as_ref().and_then(|check| check.to_pst().ok());
        pst.is_none_or(|pst| !asked(pst.body().clauses()).is_empty())
    }

    /// The condition of a rule, or a raw policy's text where Cedar has a say in it.
    pub(crate) fn when(&self) -> Option<&str> {
        match &self.origin {
            Origin::Rule { when, .. } => when.as_ref().map(|when| when.text.as_str()),
            Origin::Cedar { text, .. } => self.policy.as_ref().map(|_| text.as_str()),
        }
    }

    /// Where in its `check` it reads what stands at `path` in the context, as far as a look at the text can tell.
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

    /// Where in its `check` it asks if what is named so is there, as far as a look at the text can tell; else where it is named.
    pub(crate) fn question(&self, path: &[String]) -> Option<usize> {
        let (text, start) = self.text()?;
        let name = path.last()?;
        // What is asked for may be a path too: `has address.street`.
        let asked = |at: &usize| {
            let before =
                text[..*at].trim_end_matches(|letter: char| letter.is_alphanumeric() || "_.\"".contains(letter));
            before.trim_end().ends_with(" has")
        };
        let found = words(text, name).find(asked);
        found.map(|at| start + at).or_else(|| self.mention(path))
    }

    /// The text of its conditions, and where in its `check` that begins.
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

/// Where `word` stands in a text by itself, and not in a longer one.
fn words<'t>(text: &'t str, word: &'t str) -> impl Iterator<Item = usize> + 't {
    let in_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let whole = move |at: &usize| !text[..*at].ends_with(in_word) && !text[at + word.len()..].starts_with(in_word);
    text.match_indices(word).map(|(at, _)| at).filter(whole)
}

/// Reads a condition as a policy over everything. It must be one expression by itself: a text that only fits between the
/// braces, such as `true } unless { false`, is refused.
fn condition(when: &Written) -> Result<Policy, Vec<(Option<usize>, String)>> {
    nesting::statements(&when.text).map_err(|deep| vec![(Some(deep.offset), deep.message)])?;
    Expression::from_str(&when.text).map_err(|errors| parse_errors(&errors).collect::<Vec<_>>())?;
    let text = format!("{CHECK_HEAD}{}{CHECK_TAIL}", when.text);
    Policy::parse(None, text).map_err(|errors| {
        let inside = |offset: usize| offset.saturating_sub(CHECK_HEAD.len());
        parse_errors(&errors).map(|(offset, message)| (offset.map(inside), message)).collect()
    })
}
