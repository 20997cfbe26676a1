//! Conversion of policies, and the place of an error in a policy document or in its Cedar text.

use std::mem;

use countersign_app::{ActivatePolicy, CreatePolicy, Error, PolicyFilter, PolicyRecord, PolicyValidation, ValidPolicy};
use countersign_core::{ids::PolicyVersion, text::MAX_TEXT};
use countersign_policy::{Rule, Violation};
use countersign_proto::v1;

use super::{enums::WireEnum, idempotency::Idem, narrow, page::Paging, read, text, time::timestamp};

pub(crate) fn create(mut request: v1::CreatePolicyRequest) -> Result<(CreatePolicy, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    read(|v| {
        let idem = v.idempotency("CreatePolicy", request_id, &request);
        let reason = v.optional_text("reason", request.reason, MAX_TEXT);
        // The reader of the document reports what is wrong with it, with the line; this includes an empty document.
        Ok((CreatePolicy { document: request.document, cedar: request.cedar, reason: reason? }, idem?))
    })
}

pub(crate) fn get(request: &v1::GetPolicyRequest) -> Result<Option<PolicyVersion>, Error> {
    read(|v| v.optional("version", &request.version))
}

pub(crate) fn list(mut request: v1::ListPoliciesRequest) -> Result<(PolicyFilter, Paging), Error> {
    let (size, token) = (mem::take(&mut request.page_size), mem::take(&mut request.page_token));
    read(|v| {
        let paging = v.paging("ListPolicies", size, &token, &request);
        let state = v.optional_enum("state", request.state);
        let start_time = v.instant("start_time", request.start_time);
        let end_time = v.instant("end_time", request.end_time);
        Ok((PolicyFilter { state: state?, start_time: start_time?, end_time: end_time? }, paging?))
    })
}

pub(crate) fn activate(mut request: v1::ActivatePolicyRequest) -> Result<(ActivatePolicy, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    read(|v| {
        let idem = v.idempotency("ActivatePolicy", request_id, &request);
        let version = v.required("version", &request.version);
        let reason = v.text("reason", request.reason, MAX_TEXT);
        Ok((ActivatePolicy { version: version?, reason: reason? }, idem?))
    })
}

pub(crate) fn validated(outcome: PolicyValidation) -> v1::ValidatePolicyResponse {
    let all = |violations: Vec<Violation>| violations.into_iter().map(violation).collect();
    match outcome {
        PolicyValidation::Valid(ValidPolicy { rules, warnings }) => v1::ValidatePolicyResponse {
            violations: Vec::new(),
            rules: rules.into_iter().map(rule).collect(),
            warnings: all(warnings),
        },
        PolicyValidation::Invalid(violations) => {
            v1::ValidatePolicyResponse { violations: all(violations), ..Default::default() }
        }
    }
}

pub(crate) fn policy(record: PolicyRecord) -> v1::Policy {
    v1::Policy {
        version: record.version.to_string(),
        content_hash: record.content_hash.to_vec(),
        document: record.document,
        state: record.state.to_wire(),
        create_time: Some(timestamp(record.create_time)),
        created_by: record.created_by.to_string(),
        cedar: record.cedar,
        rules: record.rules.into_iter().map(rule).collect(),
        rule_count: narrow(record.rule_count),
        activate_time: record.activate_time.map(timestamp),
    }
}

fn rule(rule: Rule) -> v1::PolicyRule {
    v1::PolicyRule {
        rule_id: rule.rule_id,
        effect: rule.effect.to_wire(),
        role: text(rule.role),
        tool_id: text(rule.tool),
        allowed_actions: rule.actions,
        when: text(rule.when),
    }
}

fn violation(violation: Violation) -> v1::Violation {
    v1::Violation {
        line: narrow(violation.line),
        column: narrow(violation.column),
        path: place(&violation.path),
        message: violation.message,
    }
}

/// The place of an error in the request, from its place in the document or in the Cedar text.
pub(crate) fn place(path: &str) -> String {
    match path {
        "" => "document".to_owned(),
        path if path == "cedar" || path.starts_with("cedar[") => path.to_owned(),
        path => format!("document.{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_names_its_place_in_the_request() {
        let table = [
            ("", "document"),
            ("rules[2].tool", "document.rules[2].tool"),
            ("cedar", "cedar"),
            ("cedar[no-refunds]", "cedar[no-refunds]"),
            ("cedars", "document.cedars"),
        ];
        for (path, wanted) in table {
            assert_eq!(place(path), wanted);
        }
    }
}
