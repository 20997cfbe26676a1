//! The public key of a certificate signing request (PKCS#10), and nothing else of it: which keys and signatures are
//! strong enough (curves, RSA bits and exponent), and the longest request.

use rcgen::{PublicKeyData, SignatureAlgorithm, SubjectPublicKeyInfo};
use x509_parser::{
    certification_request::X509CertificationRequest,
    oid_registry::{
        OID_EC_P256, OID_NIST_EC_P384, OID_PKCS1_RSASSAPSS, OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA,
        OID_PKCS1_SHA512WITHRSA, OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ED25519,
    },
    prelude::FromDer,
    public_key::PublicKey,
    x509::SubjectPublicKeyInfo as Spki,
};

/// Longest request, bytes: an RSA key of 4096 bits with many names takes a quarter of it.
const MAX_CSR: usize = 8 * 1024;
/// Shortest and longest RSA key, bits. Longer ones only cost their verifiers.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// How a point on a curve begins that is written with both coordinates (SEC 1).
const UNCOMPRESSED: u8 = 0x04;

/// Smallest exponent of an RSA key (NIST SP 800-56B). With a small one, signatures have been forged against verifiers that do
/// not look at every byte of the padding.
const LEAST_EXPONENT: u64 = 65_537;

/// The public key of a request whose own signature is valid: its maker has the private key.
#[derive(Debug, Clone)]
pub struct CsrKey(SubjectPublicKeyInfo);

impl CsrKey {
    /// Reads a request in DER. Names, extensions and attributes in it are passed over. The error says what is wanted.
    pub fn from_der(der: &[u8]) -> Result<Self, &'static str> {
        const FORM: &str = "must be a certificate signing request (PKCS#10) in DER, at most 8 KiB";
        if der.len() > MAX_CSR {
            return Err(FORM);
        }
        let Ok((rest, csr)) = X509CertificationRequest::from_der(der) else { return Err(FORM) };
        if !rest.is_empty() {
            return Err(FORM);
        }
        let spki = &csr.certification_request_info.subject_pki;
        strong(spki)?;
        let algorithm = &csr.signature_algorithm.algorithm;
        let strong_signatures = [
            OID_PKCS1_SHA256WITHRSA,
            OID_PKCS1_SHA384WITHRSA,
            OID_PKCS1_SHA512WITHRSA,
            OID_PKCS1_RSASSAPSS,
            OID_SIG_ECDSA_WITH_SHA256,
            OID_SIG_ECDSA_WITH_SHA384,
            OID_SIG_ED25519,
        ];
        if !strong_signatures.contains(algorithm) {
            return Err("must be signed with ECDSA, Ed25519 or RSA, and SHA-256 or longer");
        }
        csr.verify_signature().map_err(|_| "is not signed with the key that it names: its signature is not valid")?;
        SubjectPublicKeyInfo::from_der(spki.raw).map(Self).map_err(|_| KEYS)
    }
}

const KEYS: &str = "must name a key on P-256 or P-384 (an uncompressed point), an Ed25519 key, or an RSA key of 2048 to 4096 bits whose exponent is 65537 or more";

/// Refuses keys that are too weak to identify an instance, and kinds that TLS libraries do not take.
fn strong(spki: &Spki<'_>) -> Result<(), &'static str> {
    let curve = || spki.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
    let fits = match spki.parsed() {
        // RFC 5480: the point is written uncompressed. Some libraries take other forms for the same key, which others refuse.
        Ok(PublicKey::EC(point)) => match (point.data(), curve()) {
            ([UNCOMPRESSED, xy @ ..], Some(curve)) => {
                (curve == OID_EC_P256 && xy.len() == 64) || (curve == OID_NIST_EC_P384 && xy.len() == 96)
            }
            _ => false,
        },
        Ok(PublicKey::RSA(key)) => {
            RSA_BITS.contains(&key.key_size()) && key.try_exponent().is_ok_and(|e| e >= LEAST_EXPONENT && e % 2 == 1)
        }
        _ => spki.algorithm.algorithm == OID_SIG_ED25519,
    };
    if fits { Ok(()) } else { Err(KEYS) }
}

impl PublicKeyData for CsrKey {
    fn der_bytes(&self) -> &[u8] {
        self.0.der_bytes()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.0.algorithm()
    }
}

/// Made with openssl, whose requests rcgen cannot make: RSA of 1024 bits; RSA of 2048 signed with SHA-1; secp256k1; RSA of
/// 2048 bits with the exponent 3.
#[cfg(any(test, fuzzing))]
const WEAK: [&str; 4] = [
    "MIIBTjCBuAIBADAPMQ0wCwYDVQQDDAR3ZWFrMIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDfmE7kg6KHkajl1eU23GL9LXPnzlkrSY4LEp\
     iZRV7uxaw7GLzfDzEx6vmPv1Y45ExyLAhdWq23SrSjza3ecegx6C12JB7jvGRWmrqACPERsZirxgE7U7nERCqOAFdZSd5M3JEGumQp1At-V7Qb\
     pmCyOOG1i4YDnpgOertEs8PC8QIDAQABoAAwDQYJKoZIhvcNAQELBQADgYEAJXhZ2GFHNGrJ48_4UwtLhG-WztBbQAmF2k1Mhojt7UhYDVC_LK\
     qrSRLrAu8YRqgLzuYqfRnACCKD-MswLzBFnk_4PHKj7GeeReb5rWrCNmiXMWh7X39C5LoWhhloVwg06GzhZ9JqDTaAcMULz-juzm2MbcgP0eUg\
     Ff6nVnNi6Nk=",
    "MIICVDCCATwCAQAwDzENMAsGA1UEAwwEc2hhMTCCASIwDQYJKoZIhvcNAQEBBQADggEPADCCAQoCggEBAMwMWWNjhGKUl3iO3_jSNAFWcLwPKB\
     JYMlJbFSkwSt427EKQfR2XvbehMtsvtAA8Jo4zgsxXtPTbzNqq-6PvujIlh5iPSzC70PgQaolI4A3bVeVGWUgzp2EC_Sq-2DVLC0urVsEvBf0J\
     q7giMnW0xIVLwEx7tK32PUF2cZYIszrU8rdrsXha6QE-Fo-W0UiLnBF3-IIUeOTglPy-J15JIcmRj0xmskeETvYsHeosxz-0eyYkQllvet0INq\
     FieIpXcy7PanispAovY_7b9M4rL5FANMjrsd4f9qeDbfC_zIDfLmhBrdzu-yEFBflPinoVX4BSBCUl08VzFu7YZqmyadUCAwEAAaAAMA0GCSqG\
     SIb3DQEBBQUAA4IBAQCoic9I8iRSIY7l7e8C9OFU2T6qPWjfpzjb-_CBWHQ9vpaCkaUja9FikV_BS6o4dDMFPynUBj4alLmJ65C2fux2VwxVjD\
     YPhT2P1rnIxiXQ72SA6hha3c9fxdj9g-7RjjB54fcjKIpj9BmPUpXxpCg5xHT3bG8qBuSQltQSBdE8uULP0jQ4OlaHS8kYhhKGOTAhd3H-BvGN\
     tgXLf9Gh16o06wTy-4-W5G30HXV5RyaGy8442s1tkH9poSwW7ec6J6sGIorg0QookMt6jfljyAJBl5JkhbC2NS7T9BqVelER-2v1vFVoVuHEKt\
     PWyWj2QvQFlZRgAeaLlnyfoH63YTtW",
    "MIHFMGwCAQAwDTELMAkGA1UEAwwCazEwVjAQBgcqhkjOPQIBBgUrgQQACgNCAAQm5S2qhhEJmzccNFjQEzcRQ_ho5qSytIR4M-La_q-8MwVrai\
     CPJUJL0U-wpesfj_AmryWKLnnLXQXa_7TvS_t6oAAwCgYIKoZIzj0EAwIDSQAwRgIhAPQ3vxGnqeYVZzqIJYwAu7GMIEGqTQ4-oHTa6pDc1klj\
     AiEAhfw2pXiNKF2kYnM-J4QepkHXKxIzR2WjT1UOFf_N1iM=",
    "MIICUzCCATsCAQAwEDEOMAwGA1UEAwwFdGhyZWUwggEgMA0GCSqGSIb3DQEBAQUAA4IBDQAwggEIAoIBAQCtsm2EpUdA4LPtUdtKqpQzGwJ90Q\
     SS4K_xpwDG_PE30eUkLpljh4AB3lkU4FvT1YejSnwDde5AXqCKHsdHWTi6Bt19r5TgLSwoZNP4_DMETeFKLKZSEQoD1pGjzktosqUJMf1WDm8g\
     hF2TsDUxTEQWuLHTo_RAcFlAoL6vi7HzaTYH6PMHzhb5WdAyQ_wfjpulCECz6v9qHAX5XQo_AfvsINrJ61n6ADmkVdfI5NiUEUj6q9oxLUNEgC\
     w_oA_4o4JfR4JHW0GIATnUZLZo8aLXElIwbYDgU3zA29aP8D3PRPlviYPr2P0Dk9w1q7bIFi-UWESKnK9XZpJaVo_e9f_VAgEDoAAwDQYJKoZI\
     hvcNAQELBQADggEBAE8xXCQRi9KCW9mDUYyesAPm0QJs6mLzCS2TjF0cJcJMHTppOFnRNAcHM1X9Ey_e1bPzHprF79Mws2G9vY6C0BoSSKgSP4\
     YcAjKKIpLXajAaSxdgRG6jORakVGFeUHQTqTZgjkEEROg4X52DrZaEgMPwQkUduEYu5mPUZQ4Ci0oXPCACYeexKG3ACC6yapYQyP-yubAXg_Cn\
     ZZjInLf9e6pCUK10Dfc6zSXKKnkFcpi745688xuuVdjGetlmONM-oqs95i2e65YCdRQNesTDJK0MDHtsD2YxNEFQoZg9vurJOnL_vYGMK8OEjz\
     aK4t0n8_c0FFsZtMxXAsRdvm9fJMY=",
];

/// Requests whose keys or signatures are too weak: tests and fuzz targets begin with them.
#[cfg(any(test, fuzzing))]
pub(crate) fn weak_requests() -> Vec<Vec<u8>> {
    use base64::{Engine, engine::general_purpose::URL_SAFE};
    WEAK.iter().map(|text| URL_SAFE.decode(text).expect("base64")).collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{
        CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ECDSA_P521_SHA512,
        PKCS_ED25519,
    };

    use super::*;

    fn csr(algorithm: &'static SignatureAlgorithm) -> (KeyPair, Vec<u8>) {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let names = ["admin.example.com".to_owned()];
        let csr = CertificateParams::new(names).unwrap().serialize_request(&key).unwrap();
        (key, csr.der().to_vec())
    }

    #[test]
    fn the_key_is_taken_and_nothing_else() {
        for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519] {
            let (key, der) = csr(algorithm);
            assert_eq!(CsrKey::from_der(&der).unwrap().der_bytes(), key.der_bytes(), "{algorithm:?}");
        }
    }

    #[test]
    fn weak_keys_and_weak_signatures_are_refused() {
        for der in weak_requests() {
            let wrong = CsrKey::from_der(&der).unwrap_err();
            assert!(wrong == KEYS || wrong.contains("SHA-256 or longer"), "{wrong}");
        }
        assert_eq!(CsrKey::from_der(&csr(&PKCS_ECDSA_P521_SHA512).1).unwrap_err(), KEYS);
    }

    #[test]
    fn a_request_that_was_tampered_with_is_refused() {
        let (key, der) = csr(&PKCS_ECDSA_P256_SHA256);
        let mut taken = 0;
        for at in 0..der.len() {
            let mut tampered = der.clone();
            tampered[at] ^= 1;
            if let Ok(read) = CsrKey::from_der(&tampered) {
                // A bit that the signature does not cover changes nothing of what is taken.
                assert_eq!(read.der_bytes(), key.der_bytes(), "byte {at}");
                taken += 1;
            }
        }
        assert!(taken <= 2, "{taken} changes went unnoticed");
        for wrong in [&[][..], &der[1..], &der[..der.len() - 1], &[&der[..], &[0]].concat(), &[0x30; MAX_CSR + 1]] {
            assert!(CsrKey::from_der(wrong).is_err());
        }
    }
}
