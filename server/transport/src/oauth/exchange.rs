//! `POST /oauth/token` (RFC 8693): exchanges a parent's credential for a child's. This is DelegateCredential. Which
//! `grant_type`, types of tokens, `audience`, `resource` and `actor_token` are accepted; `scope` is the tools.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use countersign_app::{App, Caller, Credential, DelegateCredential, Error, Introspection, IssuedCredential, Trace};
use countersign_core::{Violation, credential::Verified, names::ToolId};
use countersign_proto::v1::DelegateCredentialRequest;
use serde_json::json;

use super::{
    error::{INVALID_SCOPE, INVALID_TARGET, OAuthError, UNSUPPORTED_GRANT_TYPE},
    form::Form,
};
use crate::convert::{credential as convert, idempotency::Idem};

/// The only grant type.
pub(super) const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// The type of a credential in RFC 8693: an access token, which is a JWT.
const TOKEN_TYPES: [&str; 2] =
    ["urn:ietf:params:oauth:token-type:access_token", "urn:ietf:params:oauth:token-type:jwt"];

/// Starts a child of the instance whose credential is the subject token.
pub(super) async fn exchange(
    app: &App,
    caller: &Caller,
    form: &Form,
    trace: Option<Trace>,
) -> Result<Response, OAuthError> {
    let issued_type = protocol(app.audience(), form)?;
    let parent = holder(app, caller, "subject_token", form.required("subject_token")?).await?;
    actor(app, caller, form, &parent).await?;
    let (mut command, idempotency) = command(form, &parent)?;
    command.trace = command.trace.or(trace);
    let issued = app.delegate_credential(caller, command, idempotency).await.map_err(in_oauths_names)?;
    Ok(answer(app, &issued, issued_type))
}

/// The delegation that a form requests.
pub(super) fn command(form: &Form, parent: &Verified) -> Result<(DelegateCredential, Idem), OAuthError> {
    convert::delegate(request(form, parent)?).map_err(in_oauths_names)
}

/// Checks the standard's requirements for every exchange, and returns the type of the token to issue.
pub(super) fn protocol(audience: &str, form: &Form) -> Result<&'static str, OAuthError> {
    if form.required("grant_type")? != GRANT_TYPE {
        let why = format!("must be {GRANT_TYPE}: a first credential comes from POST /issue or IssueCredential");
        return Err(OAuthError::invalid("grant_type", why).named(UNSUPPORTED_GRANT_TYPE));
    }
    token_type(form, "subject_token_type")?.ok_or_else(|| OAuthError::invalid("subject_token_type", "is required"))?;
    if form.all("audience").iter().any(|target| target != audience) {
        let why = format!(
            "must be {audience}, or left out: credentials are for this installation, and resource narrows one to a tool"
        );
        return Err(OAuthError::invalid("audience", why).named(INVALID_TARGET));
    }
    Ok(token_type(form, "requested_token_type")?.unwrap_or(TOKEN_TYPES[0]))
}

fn token_type(form: &Form, name: &str) -> Result<Option<&'static str>, OAuthError> {
    let known = |given| TOKEN_TYPES.into_iter().find(|known| *known == given);
    let wrong = || OAuthError::invalid(name, format!("must be {} or {}", TOKEN_TYPES[0], TOKEN_TYPES[1]));
    form.get(name).map(|given| known(given).ok_or_else(wrong)).transpose()
}

/// The live credential in a parameter.
async fn holder(app: &App, caller: &Caller, name: &str, token: &str) -> Result<std::sync::Arc<Credential>, OAuthError> {
    match app.introspect_credential(caller, Some(token)).await? {
        Introspection::Active(credential) => Ok(credential),
        Introspection::Inactive(reason) => Err(OAuthError::invalid(
            name,
            format!("is no live credential of this installation ({reason}). {}", reason.remedy()),
        )),
    }
}

/// The actor of a child is the child itself, a new instance that its parent starts. So another party that is named as
/// the actor cannot become it, and naming the parent changes nothing.
async fn actor(app: &App, caller: &Caller, form: &Form, parent: &Credential) -> Result<(), OAuthError> {
    let (token, kind) = (form.get("actor_token"), token_type(form, "actor_token_type")?);
    match (token, kind) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(OAuthError::invalid("actor_token_type", "is sent without an actor_token")),
        (Some(_), None) => Err(OAuthError::invalid("actor_token_type", "is required beside an actor_token")),
        (Some(token), Some(_)) => {
            let actor = holder(app, caller, "actor_token", token).await?;
            if actor.agent_instance_id == parent.agent_instance_id {
                return Ok(());
            }
            let why = "must be of the same instance as the subject_token, or left out: the child that is issued for is a new \
                       instance, and its parent alone can start it";
            Err(OAuthError::invalid("actor_token", why))
        }
    }
}

/// The only tool that the credential is for (RFC 8707). Without it, the credential is for this installation.
fn resource(form: &Form) -> Result<String, OAuthError> {
    let mut targets = form.all("resource").iter();
    let Some(first) = targets.next() else { return Ok(String::new()) };
    if targets.any(|other| other != first) {
        let why = "must be one: a credential is for one tool or for the installation";
        return Err(OAuthError::invalid("resource", why).named(INVALID_TARGET));
    }
    Ok(first.to_owned())
}

/// The same delegation in the contract's form, whose rules then apply.
fn request(form: &Form, parent: &Verified) -> Result<DelegateCredentialRequest, OAuthError> {
    if form.get("on_behalf_of").is_some_and(|text| parent.on_behalf_of.as_deref() != Some(text)) {
        return Err(OAuthError::invalid("on_behalf_of", "is the subject_token's: leave it out"));
    }
    let text = |name| form.get(name).unwrap_or_default().to_owned();
    let seconds = |ttl: &str| match ttl.parse() {
        Ok(seconds) => Ok(prost_types::Duration { seconds, nanos: 0 }),
        Err(_) => Err(OAuthError::invalid("ttl", "must be a whole number of seconds")),
    };
    let single_use = form.flag("single_use")?;
    Ok(DelegateCredentialRequest {
        parent_token: text("subject_token"),
        agent: form.get("agent").unwrap_or(parent.agent.as_str()).to_owned(),
        role: text("role"),
        tools: tools(form.get("scope")),
        purpose: text("purpose"),
        ttl: form.get("ttl").map(seconds).transpose()?,
        single_use,
        request_id: text("request_id"),
        agent_version: text("agent_version"),
        model: text("model"),
        platform: text("platform"),
        traceparent: text("traceparent"),
        resource: resource(form)?,
    })
}

/// The tools of a scope, which is a set (RFC 6749, section 3.3), each once.
fn tools(scope: Option<&str>) -> Vec<String> {
    let mut tools: Vec<String> = Vec::new();
    for tool in scope.unwrap_or_default().split(' ').filter(|tool| !tool.is_empty()) {
        if !tools.iter().any(|known| known == tool) {
            tools.push(tool.to_owned());
        }
    }
    tools
}

/// A refusal that names the parameters of this endpoint, and is invalid_scope if the scope is the reason.
fn in_oauths_names(error: Error) -> OAuthError {
    let (mut of_scope, mut of_target) = (false, false);
    let mut rename = |violation: Violation| {
        let tools = violation.field.starts_with("tools");
        of_scope |= tools;
        of_target |= violation.field == "resource";
        match &*violation.field {
            _ if tools => Violation { field: "scope".into(), ..violation },
            "parent_token" => Violation { field: "subject_token".into(), ..violation },
            _ => violation,
        }
    };
    let error = match error {
        Error::Invalid(found) => Error::Invalid(found.into_iter().map(&mut rename).collect()),
        Error::GrantTooWide(found) => Error::GrantTooWide(found.into_iter().map(&mut rename).collect()),
        other => other,
    };
    let wrong = OAuthError::from(error);
    match (of_target, of_scope) {
        (true, _) => wrong.named(INVALID_TARGET),
        (_, true) => wrong.named(INVALID_SCOPE),
        _ => wrong,
    }
}

/// The answer of RFC 8693, section 2.2.1, and the instance.
fn answer(app: &App, issued: &IssuedCredential, issued_type: &str) -> Response {
    let body = json!({
        "access_token": issued.token,
        "issued_token_type": issued_type,
        "token_type": "Bearer",
        "expires_in": issued.seconds_left(app.clock().now()),
        "scope": scope(&issued.tools),
        "agent_instance_id": issued.agent_instance_id,
        "parent_agent_id": issued.parent_agent_id,
        "credential_id": issued.credential_id,
        "log_index": issued.log_index,
    });
    Json(body).into_response()
}

/// Tools in the form of an OAuth scope.
pub(super) fn scope(tools: &[ToolId]) -> String {
    tools.iter().map(ToolId::as_str).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_a_set_of_tools() {
        assert_eq!(tools(Some("billing search billing")), ["billing", "search"]);
        assert_eq!(tools(Some("  billing ")), ["billing"]);
        assert!(tools(None).is_empty());
    }
}
