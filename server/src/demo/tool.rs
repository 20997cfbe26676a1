//! The demo's billing tool: it trusts no agent, and needs no connection to the server to know what was allowed.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use countersign_core::{
    clock::{Clock as _, SystemClock},
    credential::{KeySet, verify_receipt},
};

use super::{
    ask::{Call, Unexpected},
    hash::hash,
};

/// Checks the receipt that an agent sends with its call, with only the published keys.
pub(super) fn accepts(receipt: &str, keys: &KeySet, issuer: &str, call: Call) -> Result<(), Unexpected> {
    let refused = |why: String| Unexpected::Answer(format!("the billing tool refuses the receipt: {why}"));
    let name = |error: countersign_core::names::InvalidCallName| refused(error.to_string());
    let (tool, action) = (call.tool.parse().map_err(name)?, call.action.parse().map_err(name)?);
    let holds = verify_receipt(receipt, keys, issuer, &tool, SystemClock.now());
    let holds = holds.map_err(|refusal| refused(refusal.to_string()))?;
    let covered = <[u8; 32]>::try_from(hash(&call.arguments())).is_ok_and(|hash| holds.covers(&action, &hash));
    if covered { Ok(()) } else { Err(refused("it is for another call".to_owned())) }
}

/// The `iss` of a token. A real tool has it in its configuration; the demo trusts the server that it plays on.
pub(super) fn issuer(token: &str) -> Result<String, Unexpected> {
    let claims = token.split('.').nth(1).and_then(|claims| BASE64URL.decode(claims).ok());
    let claims = claims.and_then(|claims| serde_json::from_slice::<serde_json::Value>(&claims).ok());
    let issuer = claims.as_ref().and_then(|claims| claims["iss"].as_str());
    issuer.map(str::to_owned).ok_or_else(|| Unexpected::Answer("the credential names no issuer".to_owned()))
}
