//! Compiles the raw Cedar policies beside a document's rules: each needs a unique `@id`, and a permit may have
//! `@require_approval`.

use std::{collections::HashMap, sync::Arc};

use cedar_policy::{Effect as CedarEffect, Policy};
use countersign_core::{
    decision::Effect,
    names::{SHAPE, is_name},
};

use super::{
    domain::PolicyDomain,
    draft::{Draft, Findings, Origin},
    nesting, parse_errors,
    scope::Scope,
};
use crate::{
    document::MAX_DOCUMENT_BYTES,
    entities::EntityTypes,
    text::quoted,
    violation::{At, Violation},
};

/// Compiles Cedar text and reports what is wrong. `rules` are the drafts so far, whose ids may not be used again.
pub(crate) fn read(findings: &mut Findings<'_>, rules: &[Draft], types: Option<&EntityTypes>) -> Vec<Draft> {
    let source = findings.cedar_places.text;
    let report = |findings: &mut Findings<'_>, offset, message: String| {
        let at = findings.cedar_places.of(offset);
        findings.cedar.push(Violation::new(at, "cedar", message));
    };
    if source.len() > MAX_DOCUMENT_BYTES {
        let message = format!("must be at most {MAX_DOCUMENT_BYTES} bytes, is {}", source.len());
        findings.cedar.push(Violation::new(At::START, "cedar", message));
        return Vec::new();
    }
    let statements = match nesting::statements(source) {
        Ok(statements) => statements,
        Err(deep) => {
            report(findings, deep.offset, deep.message);
            return Vec::new();
        }
    };
    let mut ids: HashMap<Arc<str>, At> = HashMap::new();
    for rule in rules {
        if let Origin::Rule { at, .. } = rule.origin {
            ids.insert(rule.id.clone(), at);
        }
    }
    let mut drafts = Vec::with_capacity(statements.len());
    for range in statements {
        let start = range.start;
        match Policy::parse(None, &source[range.clone()]) {
            Ok(policy) => match draft(start, &source[range], policy, types) {
                Ok(draft) => {
                    if let Some(first) = ids.insert(draft.id.clone(), findings.cedar_places.of(start)) {
                        report(findings, start, format!("duplicate id {:?}, first on line {}", draft.id, first.line));
                    }
                    drafts.push(draft);
                }
                Err(message) => report(findings, start, message),
            },
            Err(errors) => {
                for (offset, message) in parse_errors(&errors) {
                    report(findings, start + offset.unwrap_or_default(), message);
                }
            }
        }
    }
    drafts
}

fn draft(start: usize, text: &str, policy: Policy, types: Option<&EntityTypes>) -> Result<Draft, String> {
    let id = policy.annotation("id").ok_or("a policy needs an id: put @id(\"...\") before it")?;
    if !is_name(id) {
        return Err(format!("@id must be {SHAPE}, is {}", quoted(id)));
    }
    let effect = match (policy.effect(), policy.annotation("require_approval")) {
        (CedarEffect::Permit, None) => Effect::Allow,
        (CedarEffect::Permit, Some("")) => Effect::RequireApproval,
        (CedarEffect::Permit, Some(_)) => return Err("@require_approval takes no value".to_owned()),
        (CedarEffect::Forbid, None) => Effect::Deny,
        (CedarEffect::Forbid, Some(_)) => {
            return Err("a forbid has nothing to approve: leave @require_approval out".to_owned());
        }
    };
    let id: Arc<str> = id.into();
    let (scope, exact) = Scope::of(&policy);
    let decided_by_scope = exact && !policy.has_non_scope_constraint();
    Ok(Draft {
        domain: PolicyDomain::of(&policy, types)?,
        scope,
        effect,
        policy: (!decided_by_scope).then(|| policy.new_id(cedar_policy::PolicyId::new(&id))),
        check: Some(policy),
        origin: Origin::Cedar { start, text: text.to_owned() },
        id,
    })
}
