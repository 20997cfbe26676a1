//! Conversion of credentials (issue, delegate, introspect) and of revocations: of one credential, of all for a tool, or
//! of all. A `traceparent` does not count for the idempotency.

use std::mem;

use countersign_app::{
    DelegateCredential, Error, Introspection, IssueCredential, IssuedCredential, RevocationScope, Revoke,
};
use countersign_core::{
    credential::Verified,
    decision::Reason,
    grant::MAX_TOOLS,
    revocation::Revocation,
    text::{MAX_ON_BEHALF_OF, MAX_TEXT},
};
use countersign_proto::v1;

use super::{
    enums::WireEnum,
    idempotency::Idem,
    narrow, read, text, texts,
    time::{seconds, timestamp},
};

pub(crate) fn issue(mut request: v1::IssueCredentialRequest) -> Result<(IssueCredential, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    // Not part of the idempotency: a request that is sent again has another span.
    let traceparent = mem::take(&mut request.traceparent);
    read(|v| {
        let idem = v.idempotency("IssueCredential", request_id, &request);
        let sponsor_id = v.required("sponsor_id", &request.sponsor_id);
        let agent = v.required("agent", &request.agent);
        let role = v.required("role", &request.role);
        let tools = v.list("tools", &request.tools, 1..=MAX_TOOLS);
        let purpose = v.text("purpose", request.purpose, MAX_TEXT);
        let ttl_seconds = v.any_seconds("ttl", request.ttl);
        let agent_instance_id = v.optional("agent_instance_id", &request.agent_instance_id);
        let labels = v.labels(request.labels);
        let on_behalf_of = v.optional_text("on_behalf_of", request.on_behalf_of, MAX_ON_BEHALF_OF);
        let facts = v.facts(request.agent_version, request.model, request.platform);
        let trace = v.optional("traceparent", &traceparent);
        let issue = IssueCredential {
            sponsor_id: sponsor_id?,
            agent: agent?,
            role: Some(role?),
            tools: tools?,
            purpose: purpose?,
            ttl_seconds: ttl_seconds?,
            single_use: request.single_use,
            agent_instance_id: agent_instance_id?,
            labels: labels?,
            on_behalf_of: on_behalf_of?,
            facts: facts?,
            trace: trace?,
        };
        Ok((issue, idem?))
    })
}

pub(crate) fn delegate(mut request: v1::DelegateCredentialRequest) -> Result<(DelegateCredential, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    let traceparent = mem::take(&mut request.traceparent);
    read(|v| {
        let idem = v.idempotency("DelegateCredential", request_id, &request);
        let agent = v.required("agent", &request.agent);
        let role = v.optional("role", &request.role);
        let tools = v.list("tools", &request.tools, 0..=MAX_TOOLS);
        let purpose = v.optional_text("purpose", request.purpose, MAX_TEXT);
        let ttl_seconds = v.any_seconds("ttl", request.ttl);
        let facts = v.facts(request.agent_version, request.model, request.platform);
        let trace = v.optional("traceparent", &traceparent);
        let resource = v.optional("resource", &request.resource);
        let delegate = DelegateCredential {
            parent_token: presented(request.parent_token),
            agent: agent?,
            role: role?,
            tools: tools?,
            purpose: purpose?,
            ttl_seconds: ttl_seconds?,
            single_use: request.single_use,
            resource: resource?,
            facts: facts?,
            trace: trace?,
        };
        Ok((delegate, idem?))
    })
}

pub(crate) fn revoke(mut request: v1::RevokeCredentialRequest) -> Result<(Revoke, Idem), Error> {
    let request_id = mem::take(&mut request.request_id);
    read(|v| {
        let idem = v.idempotency("RevokeCredential", request_id, &request);
        let credential_id = v.required("credential_id", &request.credential_id);
        let reason = v.text("reason", request.reason, MAX_TEXT);
        let spare_delegated = request.spare_delegated;
        Ok((Revoke { scope: RevocationScope::Credential(credential_id?), reason: reason?, spare_delegated }, idem?))
    })
}

pub(crate) fn revoke_many(mut request: v1::RevokeCredentialsRequest) -> Result<(Revoke, Idem), Error> {
    use v1::revoke_credentials_request::Scope;
    let request_id = mem::take(&mut request.request_id);
    read(|v| {
        let idem = v.idempotency("RevokeCredentials", request_id, &request);
        let scope = match &request.scope {
            Some(Scope::ToolId(tool_id)) => v.required("tool_id", tool_id).map(RevocationScope::Tool),
            Some(Scope::All(true)) => Ok(RevocationScope::All),
            Some(Scope::All(false)) => {
                Err(v.refuse("all", "must be true if it is set; name a tool_id to stop less than everything"))
            }
            None => Err(v.refuse("scope", "is required: tool_id or all")),
        };
        let reason = v.text("reason", request.reason, MAX_TEXT);
        Ok((Revoke { scope: scope?, reason: reason?, spare_delegated: false }, idem?))
    })
}

/// The newest entry that the caller knows. `None` if it knows no entry yet.
pub(crate) fn watch(request: v1::WatchRevocationsRequest) -> Result<Option<i64>, Error> {
    let since = read(|v| v.number("since", request.since, 0..=i64::MAX))?;
    Ok(Some(since).filter(|since| *since > 0))
}

pub(crate) fn revocation(entry: &Revocation) -> v1::RevocationEntry {
    v1::RevocationEntry {
        seq: entry.seq,
        kind: entry.kind.to_wire(),
        id: entry.id.clone(),
        create_time: Some(timestamp(entry.create_time)),
    }
}

/// A token in a field; `None` if it is empty. Verification decides whether it is a token at all, so that a malformed
/// one is refused and recorded as malformed.
pub(crate) fn presented(token: String) -> Option<String> {
    Some(token).filter(|token| !token.is_empty())
}

pub(crate) fn issued(issued: IssuedCredential) -> v1::IssueCredentialResponse {
    v1::IssueCredentialResponse {
        token: issued.token,
        credential_id: issued.credential_id.to_string(),
        agent_instance_id: issued.agent_instance_id.to_string(),
        expire_time: Some(timestamp(issued.expire_time)),
        ttl: Some(seconds(issued.ttl_seconds)),
        log_index: issued.log_index,
    }
}

pub(crate) fn delegated(issued: IssuedCredential) -> v1::DelegateCredentialResponse {
    v1::DelegateCredentialResponse {
        token: issued.token,
        credential_id: issued.credential_id.to_string(),
        agent_instance_id: issued.agent_instance_id.to_string(),
        expire_time: Some(timestamp(issued.expire_time)),
        ttl: Some(seconds(issued.ttl_seconds)),
        log_index: issued.log_index,
        parent_agent_id: text(issued.parent_agent_id),
    }
}

pub(crate) fn introspected(introspection: &Introspection) -> v1::IntrospectCredentialResponse {
    match introspection {
        Introspection::Active(verified) => active(verified),
        Introspection::Inactive(reason) => inactive(*reason),
    }
}

fn inactive(reason: Reason) -> v1::IntrospectCredentialResponse {
    v1::IntrospectCredentialResponse { reason: reason.to_string(), ..Default::default() }
}

fn active(verified: &Verified) -> v1::IntrospectCredentialResponse {
    v1::IntrospectCredentialResponse {
        active: true,
        reason: String::new(),
        sponsor_id: verified.sponsor_id.to_string(),
        agent_instance_id: verified.agent_instance_id.to_string(),
        parent_agent_id: text(verified.parent_agent_id()),
        root_instance_id: verified.root_instance_id().to_string(),
        agent: verified.agent.to_string(),
        role: verified.role.to_string(),
        inherited_roles: texts(&verified.inherited_roles),
        tools: texts(&verified.tools),
        purpose: verified.purpose.clone(),
        depth: narrow(verified.depth()),
        ttl_seconds: narrow(verified.ttl_seconds),
        single_use: verified.single_use,
        credential_id: verified.credential_id.to_string(),
        issue_time: Some(timestamp(verified.issue_time)),
        expire_time: Some(timestamp(verified.expire_time)),
        chain: texts(&verified.chain),
        on_behalf_of: verified.on_behalf_of.clone().unwrap_or_default(),
        root_agent: text(verified.root_agent.as_ref()),
    }
}
