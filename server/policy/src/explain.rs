//! Answers in words. They name what was asked and which rules answered, never what the context held.

use std::sync::Arc;

use countersign_core::decision::Reason;

use crate::{
    compiled::CompiledPolicy,
    entities::EntityRequest,
    evaluate::Matches,
    evaluation::Request,
    text::{listed, quoted},
};

pub(crate) fn unknown_tool(request: &Request<'_>) -> String {
    format!("the policy does not know the tool {}", quoted(request.tool))
}

pub(crate) fn unknown_role(request: &Request<'_>) -> String {
    format!("the policy does not list the role {}", quoted(request.principal.role()))
}

pub(crate) fn tool_outside_role(request: &Request<'_>) -> String {
    format!("the role {} may not use the tool {}", quoted(request.principal.role()), quoted(request.tool))
}

pub(crate) fn unfit_context(wrong: &[String]) -> String {
    format!("the call's context is not what the policy declares, so the call is denied: {}", listed(wrong))
}

pub(crate) fn unknown_type(request: &EntityRequest<'_>) -> String {
    let (subject, resource) = (quoted(&request.subject.kind), quoted(&request.resource.kind));
    format!("the policy does not declare both the types {subject} and {resource}")
}

pub(crate) fn unfit_entities(wrong: &[String]) -> String {
    format!("subject or resource is not what the policy declares, so it is denied: {}", listed(wrong))
}

/// Why the policies about declared types answered as they did.
pub(crate) fn about_entities(request: &EntityRequest<'_>, reason: Reason, rules: &[Arc<str>]) -> String {
    let EntityRequest { subject, action, resource, .. } = request;
    let act = format!("{} to {} on {}", quoted(&subject.kind), quoted(action), quoted(&resource.kind));
    match reason {
        Reason::AllowedByRule => format!("{} {act}", self::subject(rules, "allows", "allow")),
        Reason::DeniedByRule => format!("{} {act}", self::subject(rules, "forbids", "forbid")),
        Reason::PolicyError => format!("{} to evaluate, so it is denied", self::subject(rules, "fails", "fail")),
        _ => format!("no rule allows {act}"),
    }
}

/// Why the rules answered as they did.
pub(crate) fn answer(
    policy: &CompiledPolicy,
    request: &Request<'_>,
    reason: Reason,
    rules: &[Arc<str>],
    matches: &Matches,
) -> String {
    let call = format!(
        "role {} to call {} on tool {}",
        quoted(request.principal.role()),
        quoted(request.action),
        quoted(request.tool)
    );
    match reason {
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
