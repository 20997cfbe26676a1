//! `POST /oauth/revoke` (RFC 7009): ends a credential, with the same answer for every token. Refuses API keys and
//! receipts (`unsupported_token_type`).

use axum::response::{IntoResponse, Response};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign_app::{App, Caller};
use countersign_core::{
    credential::TYP_RECEIPT,
    json::{self, Rules},
};
use http::StatusCode;

use super::{
    error::{OAuthError, UNSUPPORTED_TOKEN_TYPE},
    form::Form,
};

/// Answers alike for a token that is revoked now, was not active, belongs to another party, or is not a token (RFC
/// 7009, section 2.2). `token_type_hint` is not needed, because a token states its type. `spare_delegated` keeps active
/// what was started with the token.
pub(super) async fn revoke(app: &App, caller: &Caller, form: &Form) -> Result<Response, OAuthError> {
    let (token, spare_delegated) = asked(form)?;
    app.revoke_token(caller, token, spare_delegated, None).await?;
    Ok(StatusCode::OK.into_response())
}

/// Which token to revoke, and whether to keep active what was started with it.
pub(super) fn asked(form: &Form) -> Result<(&str, bool), OAuthError> {
    let token = form.required("token")?;
    if let Some(what) = other(token) {
        return Err(OAuthError::invalid("token", what).named(UNSUPPORTED_TOKEN_TYPE));
    }
    Ok((token, form.flag("spare_delegated")?))
}

/// The other types of token of this product, which cannot be revoked here. The signature is not checked, because
/// nothing is done.
fn other(token: &str) -> Option<&'static str> {
    if token.starts_with("csk_") {
        return Some("is an API key: an admin ends it with RevokeApiKey");
    }
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next()?).ok()?;
    let header = json::read(&header, Rules::DOCUMENT).ok()?;
    (header["typ"] == TYP_RECEIPT)
        .then_some("is a receipt, which ends by itself within 30 s; revoke its instance instead")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_and_receipts_are_known_to_be_something_else() {
        let with_type = |typ: &str| format!("{}.e30.x", URL_SAFE_NO_PAD.encode(format!("{{\"typ\":\"{typ}\"}}")));
        assert!(other("csk_0_x").is_some() && other(&with_type(TYP_RECEIPT)).is_some());
        for token in [&with_type("at+jwt"), "", ".", "a.b.c", "e30", "é"] {
            assert_eq!(other(token), None, "{token}");
        }
    }
}
