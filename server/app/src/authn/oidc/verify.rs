//! Verifies one token of an identity provider, and checks everything that is required before its claims are trusted:
//! size, duplicate keys, `typ` and `alg`, signature, `iss`, `aud`, `azp`, `exp`, `iat`, `nbf`, and the longest
//! lifetime.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign_core::{
    credential::LEEWAY,
    json::{self, Rules},
};
use jsonwebtoken::{Header, Validation, decode, decode_header};
use serde_json::{Map, Value};
use time::OffsetDateTime;

use super::{
    MAX_TOKEN, OidcIssuer,
    keys::{Keys, NoKey},
};

/// The media types of tokens that identify a person (RFC 7519) or grant access (RFC 9068). Many providers state none.
const TYPES: [&str; 3] = ["jwt", "at+jwt", "application/at+jwt"];

/// A valid token.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) claims: Map<String, Value>,
    pub(super) expire_time: OffsetDateTime,
}

/// Why a token is refused. The texts are for the caller, and repeat no part of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// Signed with a key that is not known; there may be newer ones.
    UnknownKey,
    /// It is invalid, whatever keys there are.
    Because(&'static str),
}

/// Verifies `token` as a token of this issuer at `now`.
pub(super) fn verify(token: &str, keys: &Keys, issuer: &OidcIssuer, now: OffsetDateTime) -> Result<Verified, Refused> {
    use Refused::Because;
    if token.len() > MAX_TOKEN {
        return Err(Because("it is larger than 8 KiB"));
    }
    check_keys(token)?;
    let header = decode_header(token)
        .map_err(|_| Because("it is no JWT that is signed with an asymmetric algorithm (RS, PS, ES or EdDSA)"))?;
    check_header(&header)?;
    let key = keys.find(header.kid.as_deref(), header.alg).map_err(|none| match none {
        NoKey::Unknown => Refused::UnknownKey,
        NoKey::Algorithm => Because("its algorithm is not one of the key that it names"),
        NoKey::Unnamed => Because("it names no key, and the issuer has several"),
    })?;
    // Only the signature: the library checks the claims less strictly than we do, and with another clock.
    let mut signature_only = Validation::new(header.alg);
    signature_only.required_spec_claims.clear();
    (signature_only.validate_exp, signature_only.validate_aud) = (false, false);
    let decoded = decode::<Map<String, Value>>(token, &key.decoding, &signature_only);
    let claims = decoded.map_err(|_| Because("its signature is not valid"))?.claims;
    let expire_time = check_claims(&claims, issuer, now)?;
    Ok(Verified { claims, expire_time })
}

/// Refuses a token with a duplicate key: the library would use one of the two values, and another verifier the other.
fn check_keys(token: &str) -> Result<(), Refused> {
    for part in token.split('.').take(2) {
        let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| Refused::Because("a part of it is no base64url"))?;
        json::read(&bytes, Rules::DOCUMENT)
            .map_err(|_| Refused::Because("its header or claims are no JSON, or have a key twice"))?;
    }
    Ok(())
}

fn check_header(header: &Header) -> Result<(), Refused> {
    let typ = header.typ.as_ref().map(|typ| typ.to_ascii_lowercase());
    if typ.is_some_and(|typ| !TYPES.contains(&typ.as_str())) {
        return Err(Refused::Because("its typ is neither JWT nor at+jwt"));
    }
    if header.crit.is_some() {
        return Err(Refused::Because("it has a header crit, and nothing that it could name is understood"));
    }
    if header.jwk.is_some() || header.jku.is_some() || header.x5u.is_some() {
        return Err(Refused::Because("it brings its own key"));
    }
    Ok(())
}

/// Checks the claims, and returns until when the token is valid.
fn check_claims(
    claims: &Map<String, Value>,
    issuer: &OidcIssuer,
    now: OffsetDateTime,
) -> Result<OffsetDateTime, Refused> {
    use Refused::Because;
    if claims.get("iss").and_then(Value::as_str) != Some(&issuer.issuer) {
        return Err(Because("its iss is not the configured issuer"));
    }
    let ours = |audience: &Value| audience.as_str() == Some(&issuer.audience);
    let meant = match claims.get("aud") {
        Some(Value::Array(audiences)) => audiences.iter().any(ours),
        Some(audience) => ours(audience),
        None => false,
    };
    if !meant {
        return Err(Because("its aud is not this service"));
    }
    let party = claims.get("azp").and_then(Value::as_str);
    let parties = &issuer.authorized_parties;
    if !parties.is_empty() && !party.is_some_and(|party| parties.iter().any(|known| known == party)) {
        return Err(Because("its azp is no client whose tokens count here (authorized_parties)"));
    }
    let (leeway, now) = (i64_as_seconds(LEEWAY), i64_as_seconds(now.unix_timestamp()));
    let end = seconds(claims, "exp")?.ok_or(Because("it has no exp"))?;
    let begin = seconds(claims, "iat")?.ok_or(Because("it has no iat"))?;
    if now >= end + leeway {
        return Err(Because("it has expired: get a fresh one"));
    }
    // An operator whom the provider has removed would still be let in here for as long as this.
    if end - begin > issuer.longest_life.as_secs_f64() {
        return Err(Because(
            "it is good for longer than this server accepts (longest_life_hours): have the provider give shorter ones",
        ));
    }
    if begin > now + leeway {
        return Err(Because("it was issued in the future: one of the two clocks is wrong"));
    }
    if seconds(claims, "nbf")?.is_some_and(|not_before| not_before > now + leeway) {
        return Err(Because("it is not yet good (nbf)"));
    }
    #[expect(clippy::cast_possible_truncation, reason = "what is too large is clamped, and refused as no instant")]
    OffsetDateTime::from_unix_timestamp(end as i64).map_err(|_| Because("its exp is no instant"))
}

/// A NumericDate. `None` if it is missing.
fn seconds(claims: &Map<String, Value>, name: &str) -> Result<Option<f64>, Refused> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let number = value.as_f64().filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
    number.map(Some).ok_or(Refused::Because("one of exp, iat and nbf is no number of seconds"))
}

#[expect(clippy::cast_precision_loss, reason = "exact for any instant of the next 200 million years")]
const fn i64_as_seconds(seconds: i64) -> f64 {
    seconds as f64
}
