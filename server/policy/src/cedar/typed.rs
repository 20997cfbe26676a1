//! Cedar's strict validator: the schema that is generated for a document, whether conditions fit it, whether they can
//! be true, and how many conditions and actions are validated at most.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    sync::Arc,
};

use cedar_policy::{
    Policy, PolicyId, PolicySet, Schema, ValidationError, ValidationMode, ValidationResult, ValidationWarning,
    Validator, ffi::DetailedError,
};
use countersign_core::decision::Effect;

use super::{
    draft::{Draft, Findings},
    lint::OF_RUNS,
    rewrite::rewritten,
    types::ContextTypes,
};
use crate::entities::EntityTypes;

/// Limit of the pairs of a condition and an action that conditions name: validation takes a few microseconds for each.
const MAX_CHECKS: usize = 500_000;

/// The schemas against which drafts are validated.
pub(crate) struct Schemas {
    /// In this one, attributes that the document does not declare may be read without a presence test.
    plain: String,
    /// In this one, they may be read only after a presence test. `None` if everything is declared.
    asked_for: Option<String>,
    /// The number of actions that conditions name.
    actions: usize,
}

/// The result over all schemas.
#[derive(Default)]
pub(crate) struct Typed {
    /// Drafts that are validated and evaluated in a rewritten form with the same meaning.
    pub(crate) rewritten: BTreeSet<usize>,
    /// Whether a draft that was validated can never be true.
    impossible: BTreeMap<usize, bool>,
    /// Drafts that do not fit their schema, which is already reported.
    refused: BTreeSet<usize>,
}

impl Typed {
    /// The drafts that can never be true under any schema.
    pub(crate) fn impossible(&self) -> impl Iterator<Item = usize> {
        self.impossible.iter().filter(|(nth, never)| **never && !self.refused.contains(nth)).map(|(nth, _)| *nth)
    }

    /// Validates the drafts `nths`. For `guessed` ones, errors against the schema are ignored.
    pub(crate) fn check(
        &mut self,
        drafts: &[Draft],
        nths: &[usize],
        schemas: &Schemas,
        guessed: bool,
        findings: &mut Findings<'_>,
    ) {
        let Some((set, validator)) = prepare(drafts, nths, schemas, guessed, findings) else { return };
        let result = validator.validate(&set, ValidationMode::Strict);
        let mut never = never(&result);
        let mut wrong: BTreeMap<usize, Vec<&ValidationError>> = BTreeMap::new();
        for error in result.validation_errors() {
            if let Some(nth) = set.policy(error.policy_id()).and_then(draft_of) {
                wrong.entry(nth).or_default().push(error);
            }
        }
        for (nth, errors) in wrong {
            let (Some(draft), Some(check)) = (drafts.get(nth), set.policy(&PolicyId::new(nth.to_string()))) else {
                continue;
            };
            let other = rewritten(check).and_then(|check| validated(&validator, check));
            match other.filter(ValidationResult::validation_passed) {
                Some(result) => {
                    self.rewritten.insert(nth);
                    never.extend(self::never(&result));
                }
                None if guessed => {}
                None => {
                    self.refused.insert(nth);
                    for error in errors {
                        report(draft, error, findings);
                    }
                }
            }
        }
        for (nth, check) in set.policies().filter_map(|check| Some((draft_of(check)?, check))) {
            let never = never.contains(&nth) && drafts.get(nth).is_some_and(|draft| schemas.agrees(draft, check));
            self.impossible.entry(nth).and_modify(|all| *all &= never).or_insert(never);
        }
    }
}

/// The drafts as one set, and its validator.
fn prepare(
    drafts: &[Draft],
    nths: &[usize],
    schemas: &Schemas,
    guessed: bool,
    findings: &mut Findings<'_>,
) -> Option<(PolicySet, Validator)> {
    let mut set = PolicySet::new();
    for (nth, check) in nths.iter().filter_map(|nth| Some((nth, drafts[*nth].check.as_ref()?))) {
        if set.add(check.new_id(PolicyId::new(nth.to_string()))).is_err() {
            findings.report(&drafts[*nth], None, "is not a policy by itself; templates are not supported");
        }
    }
    let first = set.policies().next().and_then(draft_of)?;
    if set.num_of_policies().saturating_mul(schemas.actions + 1) > MAX_CHECKS {
        let message = format!(
            "too much to validate: {} conditions that may meet {} actions named in conditions; name fewer, in `allowed_actions`",
            set.num_of_policies(),
            schemas.actions,
        );
        if !guessed {
            findings.report(&drafts[first], None, message);
        }
        return None;
    }
    match Schema::from_cedarschema_str(&schemas.plain) {
        Ok((schema, _)) => Some((set, Validator::new(schema))),
        Err(error) => {
            findings.report(&drafts[first], None, format!("the conditions do not fit one schema: {error}"));
            None
        }
    }
}

fn validated(validator: &Validator, check: Policy) -> Option<ValidationResult> {
    let set = PolicySet::from_policies([check]).ok()?;
    Some(validator.validate(&set, ValidationMode::Strict))
}

/// The drafts that can never be true, by the validator.
fn never(result: &ValidationResult) -> BTreeSet<usize> {
    let of = |warning: &ValidationWarning| match warning {
        ValidationWarning::ImpossiblePolicy(_) | ValidationWarning::InvalidActionApplication(_) => {
            AsRef::<str>::as_ref(warning.policy_id()).parse().ok()
        }
        _ => None,
    };
    result.validation_warnings().filter_map(of).collect()
}

fn report(draft: &Draft, error: &ValidationError, findings: &mut Findings<'_>) {
    let detail = DetailedError::from(error);
    let mut message = plain(&detail, error.policy_id());
    if matches!(error, ValidationError::UnsafeOptionalAttributeAccess(_)) && draft.effect == Effect::Deny {
        message += "; a deny rule does so as `!(... has x) || ...`, so that a call cannot avoid it by leaving the \
                    attribute out";
    }
    findings.report(draft, detail.source_locations.first().map(|label| label.loc.start), message);
}

/// The validator's message without its internal details: the number of the draft, and the action for which it was
/// checked.
fn plain(detail: &DetailedError, id: &PolicyId) -> String {
    let prefix = format!("for policy `{id}`, ");
    let mut message = detail.message.strip_prefix(&prefix).unwrap_or(&detail.message).to_owned();
    let action = " in context for Action::\"";
    if let Some(start) = message.find(action)
        && let Some(length) = message[start + action.len()..].find('"')
    {
        message.replace_range(start..=start + action.len() + length, " in context");
    }
    if let Some(help) = &detail.help {
        message.push_str("; ");
        message.push_str(help);
    }
    message
}

fn draft_of(policy: &Policy) -> Option<usize> {
    AsRef::<str>::as_ref(policy.id()).parse().ok()
}

impl Schemas {
    /// For runs and their tools.
    pub(crate) fn of_runs(
        types: &ContextTypes<'_>,
        entities: Option<&EntityTypes>,
        for_one_tool: bool,
        named: &BTreeSet<Arc<str>>,
    ) -> Self {
        let schema = |asked_for| runs(entities, &types.schema(for_one_tool, asked_for), named);
        Self::of(types, named.len(), schema)
    }

    /// For declared types, any of which may act on any other.
    pub(crate) fn of_entities(entities: &EntityTypes, types: &ContextTypes<'_>, named: &BTreeSet<Arc<str>>) -> Self {
        let all = entities.types.keys().map(AsRef::as_ref).collect::<Vec<&str>>().join(", ");
        let schema = |asked_for| {
            let mut text = entities.schema();
            apply(&mut text, named, &all, &all, &types.schema(false, asked_for));
            text
        };
        Self::of(types, named.len(), schema)
    }

    fn of(types: &ContextTypes<'_>, actions: usize, schema: impl Fn(bool) -> String) -> Self {
        let asked_for = (!types.is_declared()).then(|| schema(true));
        Self { plain: schema(false), asked_for, actions }
    }

    /// Whether a draft that is never true if every call has all attributes that rules read is never true for other
    /// calls either, as `!(context has ticket)` can be.
    fn agrees(&self, draft: &Draft, check: &Policy) -> bool {
        let Some(schema) = &self.asked_for else { return true };
        let Ok((schema, _)) = Schema::from_cedarschema_str(schema) else { return false };
        let Some(result) = validated(&Validator::new(schema), check.clone()) else { return false };
        // A draft that reads without a presence test does not fit here; if it tests nothing, the first schema is
        // sufficient.
        if result.validation_passed() { !never(&result).is_empty() } else { !draft.asks_presence() }
    }
}

/// The attributes of every principal, the document's entities that conditions can read, and the context as it is
/// declared or used. Only actions that conditions name must be distinguished; all others are one, whose name no action
/// can have.
fn runs(entities: Option<&EntityTypes>, context: &str, named: &BTreeSet<Arc<str>>) -> String {
    let mut text = entities.map(EntityTypes::schema).unwrap_or_default();
    let kind = |name: &&str| match *name {
        "depth" => "Long",
        "tools" => "Set<String>",
        _ => "String",
    };
    let attributes = OF_RUNS.iter().map(|name| format!("{name}: {}", kind(name))).collect::<Vec<_>>().join(", ");
    // Writing to a String cannot fail.
    let _ = writeln!(text, "entity Role;\nentity Tool;\nentity Instance in [Role] = {{ {attributes} }} tags String;");
    apply(&mut text, named, "Instance", "Tool", context);
    text
}

fn apply(text: &mut String, named: &BTreeSet<Arc<str>>, principals: &str, resources: &str, context: &str) {
    text.push_str("action \"(any other)\"");
    for action in named {
        // Writing to a String cannot fail.
        let _ = write!(text, ", {action:?}");
    }
    let _ = writeln!(text, " appliesTo {{ principal: [{principals}], resource: [{resources}], context: {context} }};");
}
