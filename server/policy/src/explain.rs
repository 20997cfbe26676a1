//! Answers in words. They name the call and the rules that answered, never values of the context.

use std::sync::Arc;

use countersign_core::decision::Reason;

use crate::{
    compiled::CompiledPolicy,
    evaluation::{Evaluation, Request},
    matches::{Basis, Matches},
    text::{listed, quoted},
};

/// The reason for the policy's answer.
pub(crate) fn words(policy: &CompiledPolicy, request: &Request<'_>, basis: &Basis, evaluation: &Evaluation) -> String {
    let (role, tool) = (quoted(request.principal.role()), quoted(request.tool));
    let matches = match basis {
        Basis::UnknownTool => return format!("the policy does not know the tool {tool}"),
        Basis::UnknownRole => return format!("the policy does not list the role {role}"),
        Basis::ToolOutsideRole => return format!("the role {role} may not use the tool {tool}"),
        Basis::UnfitContext(wrong) => {
            let wrong = listed(wrong);
            return format!("the call's context is not what the policy declares, so the call is denied: {wrong}");
        }
        Basis::Rules(matches) => matches,
    };
    let call = format!("role {role} to call {} on tool {tool}", quoted(request.action));
    let rules = evaluation.rule_ids.as_slice();
    match evaluation.reason {
        Reason::AllowedByRule => format!("{} {call}", subject(rules, "allows", "allow")),
        Reason::ApprovalRequired => {
            format!("{} {call} once a person has approved it", subject(rules, "allows", "allow"))
        }
        Reason::DeniedByRule => format!("{} {call}", subject(rules, "forbids", "forbid")),
        Reason::PolicyError => failed(policy, rules, matches),
        _ if matches.unmet.is_empty() => format!("no rule allows {call}"),
        _ => {
            let unmet: Vec<_> = matches.unmet.iter().map(|nth| policy.compiled[*nth].id.clone()).collect();
            format!("no rule allows {call}: the condition of {} does not hold", named(&unmet))
        }
    }
}

fn failed(policy: &CompiledPolicy, rules: &[Arc<str>], matches: &Matches) -> String {
    let mut reads: Vec<&str> =
        matches.failed.iter().flat_map(|nth| &policy.compiled[*nth].reads).map(String::as_str).collect();
    reads.sort_unstable();
    reads.dedup();
    let subject = subject(rules, "fails", "fail");
    if !matches.unreadable.is_empty() {
        let names: Vec<_> = matches.unreadable.iter().map(|nth| policy.compiled[*nth].id.clone()).collect();
        return format!(
            "{subject} to evaluate, so the call is denied: {} reads {}, and the call holds there what no rule can read: a \
             null, a fraction, too large a number, too long a text, or too many values",
            named(&names),
            listed(reads)
        );
    }
    if reads.is_empty() {
        return format!("{subject} to evaluate, so the call is denied");
    }
    format!(
        "{subject} to evaluate, so the call is denied: an attribute is missing or of another type; read is {}",
        listed(reads)
    )
}

fn subject(rules: &[Arc<str>], one: &str, many: &str) -> String {
    format!("{} {}", named(rules), if rules.len() == 1 { one } else { many })
}

fn named(rules: &[Arc<str>]) -> String {
    let names = listed(rules.iter().map(|id| format!("{id:?}")));
    format!("{} {names}", if rules.len() == 1 { "rule" } else { "rules" })
}
