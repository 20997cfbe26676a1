//! Signs credentials, receipts and JWT-SVIDs. Claims that are inconsistent, and tokens that are too long, are not
//! signed. A credential also gets OAuth's `scope`, if there is space for it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use serde::Serialize;

use super::{
    Claims, JwtSvidClaims, KeyError, MAX_TOKEN, ReceiptClaims, SigningKey, TYP_CREDENTIAL, TYP_JWT_SVID, TYP_RECEIPT,
    consistency, key::ALG,
};
use crate::names::ToolId;

/// Why a token was not signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// No verifier would accept the claims.
    #[error("the claims contradict each other: {0}")]
    Inconsistent(&'static str),
    /// The token would be longer than verifiers accept.
    #[error("the token would be longer than {MAX_TOKEN} bytes: shorten tools, purpose or labels")]
    TooLong,
    /// Signing with the key failed.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// The header: these three members, and no others.
#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    typ: &'static str,
    kid: &'a str,
}

/// Signs a credential.
pub fn sign_credential(claims: &Claims, key: &SigningKey) -> Result<String, SignError> {
    consistency::credential(claims).map_err(SignError::Inconsistent)?;
    let scope = claims.tools.iter().map(ToolId::as_str).collect::<Vec<_>>().join(" ");
    match sign(TYP_CREDENTIAL, &Scoped { claims, scope }, key) {
        // `scope` repeats the tools, for which a credential with many long tool names has no space.
        Err(SignError::TooLong) => sign(TYP_CREDENTIAL, claims, key),
        other => other,
    }
}

/// A credential's claims, and its tools in OAuth's form (RFC 9068), for scope checks of resource servers that do not
/// know Countersign. It is written and never read; `tools` is what counts.
#[derive(Serialize)]
struct Scoped<'a> {
    #[serde(flatten)]
    claims: &'a Claims,
    scope: String,
}

/// Signs a receipt.
pub fn sign_receipt(claims: &ReceiptClaims, key: &SigningKey) -> Result<String, SignError> {
    consistency::receipt(claims).map_err(SignError::Inconsistent)?;
    sign(TYP_RECEIPT, claims, key)
}

/// Signs a JWT-SVID.
pub fn sign_jwt_svid(claims: &JwtSvidClaims, key: &SigningKey) -> Result<String, SignError> {
    sign(TYP_JWT_SVID, claims, key)
}

fn sign<T: Serialize>(typ: &'static str, claims: &T, key: &SigningKey) -> Result<String, SignError> {
    let mut token = part(&Header { alg: ALG, typ, kid: key.kid() });
    token.push('.');
    token.push_str(&part(claims));
    let signature = key.sign(token.as_bytes())?;
    token.push('.');
    BASE64URL.encode_string(signature, &mut token);
    if token.len() > MAX_TOKEN { Err(SignError::TooLong) } else { Ok(token) }
}

fn part<T: Serialize>(value: &T) -> String {
    BASE64URL.encode(serde_json::to_vec(value).expect("claims have string keys and no fallible values"))
}
