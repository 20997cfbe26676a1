//! Rules for what the use cases parse themselves: certificate requests, identity providers' documents and tokens, trace
//! contexts. For tests and fuzz targets only.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use rcgen::{
    CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKeyData as _,
};

use crate::{CsrKey, Trace, svids::x509};

pub use crate::authn::oidc::fuzz::{oidc_claims, oidc_claims_seeds, oidc_documents, oidc_documents_seeds};

/// `SEQUENCE`, and a length of two bytes.
const SEQUENCE: [u8; 2] = [0x30, 0x82];
/// ecdsa-with-SHA256.
const ALGORITHM: [u8; 12] = [0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

/// A key of ours, for signing what no client would sign.
fn key() -> EcdsaKeyPair {
    let der = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key").serialize_der();
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &der).expect("the same key")
}

fn own_key() -> &'static EcdsaKeyPair {
    static KEY: std::sync::LazyLock<EcdsaKeyPair> = std::sync::LazyLock::new(key);
    &KEY
}

/// Requests with each kind of key, those with weak keys, and the signed part of one.
///
/// # Panics
/// If no key can be made.
#[must_use]
pub fn csr_seeds() -> Vec<Vec<u8>> {
    let request = |algorithm| {
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let params = CertificateParams::new(["admin.example.com".to_owned()]).expect("a name");
        params.serialize_request(&key).expect("a request").der().to_vec()
    };
    let mut seeds = vec![request(&PKCS_ECDSA_P256_SHA256), request(&PKCS_ECDSA_P384_SHA384), request(&PKCS_ED25519)];
    seeds.extend(x509::weak_requests());
    let to_be_signed = first_inside(&seeds[0]);
    // The same for the key with which the target signs.
    let own = own_key().public_key().as_ref();
    let mut about_own = to_be_signed.clone();
    seeds.push(to_be_signed);
    if let Some(at) = about_own.windows(2).position(|pair| pair == [0x00, 0x04]) {
        about_own.splice(at + 1..at + 1 + own.len(), own.iter().copied());
        // The same point in the hybrid form, which was taken once.
        let mut hybrid = about_own.clone();
        hybrid[at + 1] = 0x06 | (own.last().copied().unwrap_or_default() & 1);
        seeds.push(hybrid);
    }
    seeds.push(about_own);
    seeds
}

/// The first element of a sequence.
fn first_inside(der: &[u8]) -> Vec<u8> {
    let inside = der.get(header(der)..).unwrap_or_default();
    let length = match inside {
        [_, 0x82, high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])),
        [_, 0x81, length, ..] | [_, length, ..] => usize::from(*length),
        _ => 0,
    };
    inside.get(..header(inside) + length).unwrap_or_default().to_vec()
}

/// The length of an element's tag and length.
fn header(der: &[u8]) -> usize {
    match der.get(1) {
        Some(0x82) => 4,
        Some(0x81) => 3,
        _ => 2,
    }
}

/// A certificate request is refused, or gives a key that it contains; and one that our key signed gives that key.
///
/// # Panics
/// If that is not the case.
pub fn csr(data: &[u8]) {
    taken(data);
    let signature = own_key().sign(&SystemRandom::new(), data).expect("a signature");
    let signed = signed_request(data, signature.as_ref());
    if let Some(key) = taken(&signed) {
        let own = own_key().public_key().as_ref();
        assert_eq!(key.as_slice(), own, "a signature of one key holds for another");
    }
}

fn signed_request(to_be_signed: &[u8], signature: &[u8]) -> Vec<u8> {
    let length = u8::try_from(signature.len() + 1).expect("a signature is short");
    let bits = [&[0x03, length, 0x00][..], signature].concat();
    let inner = [to_be_signed, &ALGORITHM, &bits].concat();
    let length = u16::try_from(inner.len()).unwrap_or_default().to_be_bytes();
    [&SEQUENCE[..], &length, &inner].concat()
}

/// The public key of a request that is accepted.
fn taken(der: &[u8]) -> Option<Vec<u8>> {
    match CsrKey::from_der(der) {
        Ok(key) => {
            let bytes = key.der_bytes().to_vec();
            assert!(der.len() <= 8 * 1024 && der.windows(bytes.len()).any(|window| window == bytes), "{der:?}");
            Some(bytes)
        }
        Err(why) => {
            assert!(why.starts_with("must ") || why.starts_with("is not "), "{why}");
            None
        }
    }
}

/// Trace contexts of both versions.
#[must_use]
pub fn traceparent_seeds() -> Vec<Vec<u8>> {
    let of = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    ["00", "cc"].into_iter().map(|version| format!("{version}-{of}").into_bytes()).chain([Vec::new()]).collect()
}

/// A trace context that is accepted is written in the text exactly like this.
///
/// # Panics
/// If that is not the case.
pub fn traceparent(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(Trace { trace_id, span_id }) = text.parse() {
        assert!(text.get(2..).is_some_and(|text| text.starts_with(&format!("-{trace_id}-{span_id}-"))), "{text:?}");
        assert!(text.len() == 55 || !text.starts_with("00"), "{text:?}");
    }
}

#[cfg(test)]
#[path = "../../core/tests/edits/mod.rs"]
mod edits;

#[cfg(test)]
mod tests {
    use super::{edits::holds, *};

    #[test]
    fn a_certificate_request_gives_its_own_key_or_is_refused() {
        assert!(csr_seeds().iter().filter(|seed| taken(seed).is_some()).count() >= 3);
        let about_own = csr_seeds().pop().unwrap();
        let signature = own_key().sign(&SystemRandom::new(), &about_own).unwrap();
        assert!(taken(&signed_request(&about_own, signature.as_ref())).is_some(), "the target gets as far as this");
        holds(&csr_seeds(), 1_000, csr);
    }

    #[test]
    fn a_trace_context_is_read_as_it_is_written() {
        holds(&traceparent_seeds(), 2_000, traceparent);
    }

    #[test]
    fn claims_of_a_provider_grant_what_is_mapped_and_nothing_else() {
        holds(&oidc_claims_seeds(), 1_500, oidc_claims);
    }

    #[test]
    fn a_providers_documents_are_read_or_refused() {
        holds(&oidc_documents_seeds(), 1_500, oidc_documents);
    }
}
