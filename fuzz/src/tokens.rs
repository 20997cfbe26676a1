//! Of what reads tokens and keys: nothing panics, and nothing is accepted that was not signed.

use std::{collections::HashSet, sync::LazyLock};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign_core::{
    credential::{
        Expect, KeySet, KeyStanding, Refusal, SigningKey, TYP_CREDENTIAL, TYP_RECEIPT, Verified, verify_credential,
        verify_receipt,
    },
    names::ToolId,
};
use serde_json::{Value, json};
use time::OffsetDateTime;

/// The cases that verifiers in every language share.
pub const VECTORS: &str = include_str!("../../clients/conformance/credential.json");

/// What the cases say, and what of them is good.
struct Vectors {
    issuer: String,
    audience: String,
    now: OffsetDateTime,
    keys: KeySet,
    /// `header.claims` of everything that was signed and holds.
    signed: HashSet<String>,
}

static KNOWN: LazyLock<Vectors> = LazyLock::new(|| {
    let vectors: Value = serde_json::from_str(VECTORS).expect("the cases are JSON");
    let text = |name: &str| vectors[name].as_str().expect("a text").to_owned();
    let cases = vectors["cases"].as_array().expect("cases");
    let good = cases.iter().filter(|case| case["expect"] == "VALID" || case["expect"] == "CREDENTIAL_EXPIRED");
    Vectors {
        issuer: text("issuer"),
        audience: text("audience"),
        now: OffsetDateTime::from_unix_timestamp(vectors["now"].as_i64().expect("a time")).expect("a time"),
        keys: KeySet::from_jwks(&vectors["jwks"].to_string()).expect("keys"),
        signed: good.map(|case| signed_part(case["token"].as_str().expect("a token")).to_owned()).collect(),
    }
});

/// A key of our own, to sign what the issuer never would.
static KEY: LazyLock<(SigningKey, EcdsaKeyPair, KeySet)> = LazyLock::new(|| {
    let key = SigningKey::generate().expect("a key");
    let der = key.to_pkcs8().expect("its form");
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.as_ref()).expect("the same key");
    let mut keys = KeySet::default();
    keys.insert(key.verifying_key().clone(), KeyStanding::Active);
    (key, pair, keys)
});

/// Every token of the shared cases: where to begin.
#[must_use]
pub fn tokens() -> Vec<String> {
    let vectors: Value = serde_json::from_str(VECTORS).expect("the cases are JSON");
    vectors["cases"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|case| case["token"].as_str().map(str::to_owned))
        .collect()
}

/// The same as bytes.
#[must_use]
pub fn tokens_seeds() -> Vec<Vec<u8>> {
    tokens().into_iter().map(String::into_bytes).collect()
}

/// The claims of every token that has some.
#[must_use]
pub fn claims_seeds() -> Vec<Vec<u8>> {
    let claims = |token: String| URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok();
    tokens().into_iter().filter_map(claims).collect()
}

/// The key set of the shared cases.
#[must_use]
pub fn jwks_seeds() -> Vec<Vec<u8>> {
    let vectors: Value = serde_json::from_str(VECTORS).expect("the cases are JSON");
    vec![vectors["jwks"].to_string().into_bytes()]
}

/// A credential that is taken, in time or late, says byte for byte what was signed.
pub fn credential(data: &[u8]) {
    let Ok(token) = std::str::from_utf8(data) else { return };
    let expect = Expect { issuer: &KNOWN.issuer, audience: &KNOWN.audience };
    if let Ok(_) | Err(Refusal::Expired(_)) = verify_credential(token, &KNOWN.keys, &expect, KNOWN.now) {
        assert!(KNOWN.signed.contains(signed_part(token)), "taken: {token}");
    }
}

/// The same of a receipt, which no credential is.
pub fn receipt(data: &[u8]) {
    let Ok(token) = std::str::from_utf8(data) else { return };
    let Ok(tool) = "billing".parse() else { return };
    if let Ok(_) | Err(Refusal::Expired(_)) = verify_receipt(token, &KNOWN.keys, &KNOWN.issuer, &tool, KNOWN.now) {
        assert!(KNOWN.signed.contains(signed_part(token)), "taken: {token}");
    }
}

/// Any claims under a signature that holds are refused, or read as exactly what they say.
pub fn claims(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let expect = Expect { issuer: &KNOWN.issuer, audience: &KNOWN.audience };
    if let Ok(verified) = verify_credential(&sign(TYP_CREDENTIAL, text), &KEY.2, &expect, KNOWN.now) {
        says(&verified, &serde_json::from_str(text).expect("what was read is JSON"));
    }
    let Ok(tool) = "billing".parse() else { return };
    if let Ok(verified) = verify_receipt(&sign(TYP_RECEIPT, text), &KEY.2, &KNOWN.issuer, &tool, KNOWN.now) {
        let written: Value = serde_json::from_str(text).expect("what was read is JSON");
        assert_eq!(written["policy_decision_id"], verified.policy_decision_id.to_string());
        assert_eq!(written["action"], verified.action.as_str());
    }
}

fn says(verified: &Verified, written: &Value) {
    assert_eq!(written["sponsor_id"], verified.sponsor_id.as_str());
    assert_eq!(written["jti"], verified.credential_id.to_string());
    assert_eq!(written["agent_instance_id"], verified.agent_instance_id.to_string());
    assert_eq!(written["sub"], verified.root_instance_id().to_string());
    assert_eq!(written["parent_agent_id"], json!(verified.parent_agent_id().map(|id| id.to_string())));
    assert_eq!(written["role"], verified.role.as_str());
    assert_eq!(written["purpose"], verified.purpose.as_str());
    let tools: Vec<_> = verified.tools.iter().map(ToolId::as_str).collect();
    assert_eq!(written["tools"], json!(tools));
    assert_eq!((&written["rev"], &written["single_use"]), (&json!(verified.rev), &json!(verified.single_use)));
    let (iat, exp) = (written["iat"].as_i64().expect("iat"), written["exp"].as_i64().expect("exp"));
    assert_eq!((exp, exp - iat), (verified.expire_time.unix_timestamp(), verified.ttl_seconds.into()));
    assert!((1..=900).contains(&verified.ttl_seconds) && verified.chain.len() <= 9);
    assert!(iat <= KNOWN.now.unix_timestamp() + 5 && KNOWN.now.unix_timestamp() < exp + 5);
}

/// A key set that is read is read the same when it is published again.
pub fn jwks(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(set) = KeySet::from_jwks(text) {
        let published = set.to_jwks();
        let again = KeySet::from_jwks(&published.to_string()).expect("what is published can be read");
        assert_eq!(again.to_jwks(), published);
    }
}

fn sign(typ: &str, claims: &str) -> String {
    let header = json!({ "alg": "ES256", "typ": typ, "kid": KEY.0.kid() }).to_string();
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = KEY.1.sign(&SystemRandom::new(), signed.as_bytes()).expect("a signature");
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// `header.claims`.
fn signed_part(token: &str) -> &str {
    token.rsplit_once('.').map_or(token, |(signed, _)| signed)
}
