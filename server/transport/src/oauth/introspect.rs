//! `POST /oauth/introspect` (RFC 7662): whether a token is valid now, and its claims. Why it is not valid is not told.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use countersign_app::{App, Caller, Introspection};
use countersign_core::credential::{Act, Verified};
use serde_json::{Value, json};

use super::{error::OAuthError, exchange::scope, form::Form};

/// Answers for any text. `token_type_hint` is not needed, because a token states its type (RFC 7662, section 2.1).
pub(super) async fn introspect(app: &App, caller: &Caller, form: &Form) -> Result<Response, OAuthError> {
    let body = match app.introspect_credential(caller, Some(form.required("token")?)).await? {
        Introspection::Active(credential) => active(app, &credential),
        // The reason is not given either: RFC 7662, section 2.2, permits nothing else in the answer.
        Introspection::Inactive(_) => json!({ "active": false }),
    };
    Ok(Json(body).into_response())
}

/// The credential's claims with their names, and what RFC 7662 adds.
fn active(app: &App, credential: &Verified) -> Value {
    let mut claims = json!({
        "active": true,
        "token_type": "Bearer",
        "scope": scope(&credential.tools),
        "iss": app.issuer(),
        "aud": app.audience(),
        "sub": credential.root_instance_id(),
        "act": Act::new(credential.ancestors(), credential.agent_instance_id),
        "client_id": credential.agent,
        "jti": credential.credential_id,
        "iat": credential.issue_time.unix_timestamp(),
        "exp": credential.expire_time.unix_timestamp(),
        "sponsor_id": credential.sponsor_id,
        "agent_instance_id": credential.agent_instance_id,
        "parent_agent_id": credential.parent_agent_id(),
        "agent": credential.agent,
        "role": credential.role,
        "tools": credential.tools,
        "purpose": credential.purpose,
        "depth": credential.depth(),
        "single_use": credential.single_use,
        "ttl_seconds": credential.ttl_seconds,
    });
    if !credential.inherited_roles.is_empty() {
        claims["inherited_roles"] = json!(credential.inherited_roles);
    }
    if let Some(root_agent) = &credential.root_agent {
        claims["root_agent"] = json!(root_agent);
    }
    if let Some(on_behalf_of) = &credential.on_behalf_of {
        claims["on_behalf_of"] = json!(on_behalf_of);
    }
    claims
}
