//! Rules that tokens must meet, and everything that must be refused.

mod claims;
mod fuzz;
mod header;
mod interop;
mod keys;
mod time;
mod vectors;

use std::sync::LazyLock;

use ::time::{Duration, OffsetDateTime, macros::datetime};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::{
    decision::Reason,
    grant::BACKDATE,
    ids::{CredentialId, DecisionId, InstanceId, PolicyVersion},
    spiffe::{TrustDomain, lifetime},
};

const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05.5 UTC);
const EXPECT: Expect<'static> = Expect { issuer: "https://id.example", audience: "countersign" };

static KEY: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate().unwrap());
static KEYS: LazyLock<KeySet> = LazyLock::new(|| keys(KeyStanding::Active));

/// The key set in which [`KEY`] is `standing`.
fn keys(standing: KeyStanding) -> KeySet {
    let mut keys = KeySet::default();
    keys.insert(KEY.verifying_key().clone(), standing);
    keys
}

fn instance(n: u128) -> InstanceId {
    InstanceId(Uuid::from_u128(n))
}

/// The claims of a grandchild: root 1, parent 2, holder 3.
fn claims() -> Claims {
    grant(&[instance(1), instance(2)])
}

fn grant(ancestors: &[InstanceId]) -> Claims {
    Claims::new(Grant {
        issuer: EXPECT.issuer,
        audience: EXPECT.audience,
        credential_id: CredentialId(Uuid::from_u128(77)),
        ancestors,
        agent_instance_id: instance(3),
        sponsor_id: "alice".parse().unwrap(),
        agent: "billing-agent".parse().unwrap(),
        role: "support".parse().unwrap(),
        inherited_roles: Vec::new(),
        root_agent: None,
        tools: vec!["billing".parse().unwrap(), "search".parse().unwrap()],
        purpose: "triage ticket 4711".into(),
        single_use: false,
        rev: 12,
        custody_ref: [7; 32],
        labels: [("tier".to_owned(), "free".to_owned())].into(),
        on_behalf_of: None,
        ttl_seconds: 300,
        now: NOW,
    })
}

fn receipt_claims() -> ReceiptClaims {
    let credential = verify(&sign_credential(&claims(), &KEY).unwrap()).unwrap();
    ReceiptClaims::new(AllowedCall {
        issuer: EXPECT.issuer,
        credential: &credential,
        policy_decision_id: DecisionId(Uuid::from_u128(88)),
        tool_id: "billing".parse().unwrap(),
        action: "refund".parse().unwrap(),
        request_hash: Some([9; 32]),
        policy_version: Some(PolicyVersion(3)),
        now: NOW,
    })
}

fn jwt_svid_claims() -> JwtSvidClaims {
    let domain: TrustDomain = "example.com".parse().unwrap();
    let life = lifetime(None, 300, NOW + Duration::seconds(300), BACKDATE, NOW).unwrap();
    let audience = vec![EXPECT.audience.parse().unwrap(), "billing".parse().unwrap()];
    JwtSvidClaims::new(EXPECT.issuer, domain.instance(instance(3)), audience, life, Uuid::from_u128(99))
}

fn verify(token: &str) -> Result<Verified, Refusal> {
    verify_credential(token, &KEYS, &EXPECT, NOW)
}

fn verify_at_billing(receipt: &str) -> Result<VerifiedReceipt, ReceiptRefusal> {
    verify_receipt(receipt, &KEYS, EXPECT.issuer, &"billing".parse().unwrap(), NOW)
}

fn header(typ: &str) -> Value {
    json!({ "alg": "ES256", "typ": typ, "kid": KEY.kid() })
}

/// A token over exactly these texts with a valid signature of [`KEY`].
fn forge(header: &str, claims: &str) -> String {
    let signed = format!("{}.{}", encode(header), encode(claims));
    format!("{signed}.{}", encode(KEY.sign(signed.as_bytes()).unwrap()))
}

/// Every form in which a verifier may mistake the published key for a secret.
fn public_key_forms() -> [(&'static str, Vec<u8>); 5] {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let jwk = KEY.verifying_key().to_jwk();
    let coordinate = |name: &str| decode(jwk[name].as_str().unwrap());
    let point = [vec![4], coordinate("x"), coordinate("y")].concat();
    // SubjectPublicKeyInfo of a P-256 key: id-ecPublicKey, prime256v1, a bit string of 66 bytes.
    let der = [&b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00"[..], &point]
        .concat();
    let lines: Vec<_> = STANDARD.encode(&der).into_bytes().chunks(64).map(<[u8]>::to_vec).collect();
    let body = lines.join(&b'\n');
    let pem = [&b"-----BEGIN PUBLIC KEY-----\n"[..], &body, b"\n-----END PUBLIC KEY-----\n"].concat();
    [("JWK", jwk.to_string().into_bytes()), ("DER", der), ("PEM", pem), ("point", point), ("x", coordinate("x"))]
}

fn decode(text: &str) -> Vec<u8> {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.decode(text).unwrap()
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A signed credential with claims that the issuer would not have written.
fn credential_with(change: impl FnOnce(&mut Value)) -> String {
    let mut claims = json!(claims());
    change(&mut claims);
    forge(&header(TYP_CREDENTIAL).to_string(), &claims.to_string())
}

#[track_caller]
fn assert_refused(token: &str, reason: Reason) {
    assert_eq!(verify(token).map_err(|refusal| refusal.reason()), Err(reason));
}
