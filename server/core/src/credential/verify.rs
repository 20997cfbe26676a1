//! Verification: one function for credentials and one for receipts, with common rules for the form, the header (`alg`,
//! `typ`, `kid`), the key and signature, issuer and audience, and the time (expired, or issued in the future, each with
//! leeway).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use time::{Duration, OffsetDateTime};

use super::{
    Claims, KeySet, KeyStanding, LEEWAY, MAX_TOKEN, ReceiptClaims, ReceiptRefusal, Refusal, TYP_CREDENTIAL,
    TYP_RECEIPT, Verified, VerifiedReceipt, claims::instant, consistency, key::ALG,
};
use crate::{
    json::{self, Rules},
    names::ToolId,
};

/// The issuer and the audience that a verifier accepts.
#[derive(Debug, Clone, Copy)]
pub struct Expect<'a> {
    /// The installation: `iss` must be equal to this, byte for byte.
    pub issuer: &'a str,
    /// The verifier: `aud` must be this and nothing else.
    pub audience: &'a str,
}

/// Returns the content of `token` if it is a credential that is valid at `now`.
///
/// The caller checks what a credential cannot state: revocation entries above its `rev`, the state of its sponsor and
/// its chain, and whether a single-use credential was used before.
pub fn verify_credential(
    token: &str,
    keys: &KeySet,
    expect: &Expect<'_>,
    now: OffsetDateTime,
) -> Result<Verified, Refusal> {
    let (claims, kid) = open::<Claims, _>(token, TYP_CREDENTIAL, keys, expect.issuer)?;
    check_parties(&claims.iss, &claims.aud.0, expect)?;
    consistency::credential(&claims).map_err(Refusal::Invalid)?;
    let (iat, exp) = (claims.iat, claims.exp);
    check_time(Verified::new(claims, kid), iat, exp, now)
}

/// Returns the content of `receipt` if it shows that the installation `issuer` allowed a call of `tool_id`.
///
/// The tool must then compare the received call with [`VerifiedReceipt::covers`], and remember the decision's id until
/// the receipt expires.
pub fn verify_receipt(
    receipt: &str,
    keys: &KeySet,
    issuer: &str,
    tool_id: &ToolId,
    now: OffsetDateTime,
) -> Result<VerifiedReceipt, ReceiptRefusal> {
    let (claims, kid) = open::<ReceiptClaims, _>(receipt, TYP_RECEIPT, keys, issuer)?;
    check_parties(&claims.iss, &claims.aud.0, &Expect { issuer, audience: tool_id.as_str() })?;
    consistency::receipt(&claims).map_err(Refusal::Invalid)?;
    let (iat, exp) = (claims.iat, claims.exp);
    check_time(VerifiedReceipt::new(claims, kid), iat, exp, now)
}

/// The header that this server writes. `deny_unknown_fields` refuses everything else: `crit`, `jwk`, `jku`, `x5u`,
/// `x5c`, `b64`, `zip` and all later inventions can never change how a token is read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    kid: String,
}

/// Checks form, kind, key and signature, and reads the claims. No claim is trusted before the signature is verified. If
/// the key is unknown, `iss` only tells whether it is worth asking the issuer for new keys.
fn open<C: DeserializeOwned, T>(
    token: &str,
    typ: &'static str,
    keys: &KeySet,
    issuer: &str,
) -> Result<(C, String), Refusal<T>> {
    if token.len() > MAX_TOKEN {
        return Err(Refusal::Malformed("it is longer than 8 KiB"));
    }
    let mut parts = token.split('.');
    let (Some(header), Some(claims), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Refusal::Malformed("it does not have three parts"));
    };
    let signed = &token[..header.len() + 1 + claims.len()];
    let (header, claims) = (object(header)?, object(claims)?);
    let signature = bytes(signature)?;

    let header = Header::deserialize(header)
        .map_err(|_| Refusal::Invalid("its header does not hold exactly alg, typ and kid"))?;
    if header.alg != ALG {
        return Err(Refusal::Invalid("its alg is not ES256"));
    }
    if header.typ != typ {
        return Err(Refusal::WrongKind(typ));
    }
    let Some((key, standing)) = keys.get(&header.kid) else {
        return Err(if claims["iss"] == issuer {
            Refusal::UnknownKey
        } else {
            Refusal::Invalid("its kid is not the id of a key of the expected issuer")
        });
    };
    if !key.verifies(signed.as_bytes(), &signature) {
        return Err(Refusal::Invalid("its signature is invalid"));
    }
    if standing == KeyStanding::Compromised {
        return Err(Refusal::KeyCompromised);
    }
    let claims = C::deserialize(claims)
        .map_err(|_| Refusal::Invalid("a claim is missing or not of the type that it must be"))?;
    Ok((claims, header.kid))
}

fn bytes<T>(part: &str) -> Result<Vec<u8>, Refusal<T>> {
    // This engine accepts no padding, no spaces, and no set bits after the last byte.
    BASE64URL.decode(part).map_err(|_| Refusal::Malformed("a part is not base64url without padding"))
}

fn object<T>(part: &str) -> Result<Value, Refusal<T>> {
    json::read(&bytes(part)?, Rules::DOCUMENT)
        .ok()
        .filter(Value::is_object)
        .ok_or(Refusal::Malformed("header or claims are not a JSON object, or a key occurs twice in them"))
}

fn check_parties<T>(iss: &str, aud: &str, expect: &Expect<'_>) -> Result<(), Refusal<T>> {
    if iss != expect.issuer {
        return Err(Refusal::Invalid("its iss is not the expected issuer"));
    }
    if aud == expect.audience { Ok(()) } else { Err(Refusal::WrongAudience) }
}

fn check_time<T>(verified: T, iat: i64, exp: i64, now: OffsetDateTime) -> Result<T, Refusal<T>> {
    let leeway = Duration::seconds(LEEWAY);
    if instant(iat) > now + leeway {
        return Err(Refusal::Early(Box::new(verified)));
    }
    if now >= instant(exp) + leeway { Err(Refusal::Expired(Box::new(verified))) } else { Ok(verified) }
}
