//! The X.509 authorities in this server's memory: which one signs now, whether one is missing or has expired, and their
//! entries in the SPIFFE bundle.

use std::sync::Arc;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use countersign_core::{
    expiry::ExpiryKind,
    x509_authority::{SigningWindow, missing_windows},
};
use countersign_store::{expiry::Ending, x509_authority::StoredAuthority};
use rcgen::{Issuer, KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::{Error, engine::secrets::Secrets};

/// One authority with its opened key.
#[derive(Debug)]
pub(crate) struct Authority {
    pub(crate) id: String,
    /// The certificate in DER.
    pub(crate) certificate: Vec<u8>,
    window: SigningWindow,
    pub(crate) issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn open(stored: StoredAuthority, secrets: &Secrets) -> Result<Self, Error> {
        let failed = |error| Error::internal("an X.509 authority cannot be used", error);
        let der = secrets.open(&stored.authority_id, &stored.private_nonce, &stored.private_key)?;
        let der = PrivatePkcs8KeyDer::from(der.as_slice());
        let key = KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256).map_err(failed)?;
        let certificate = CertificateDer::from(stored.certificate.as_slice());
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(failed)?;
        let window = SigningWindow { from: stored.sign_from, until: stored.sign_until };
        Ok(Self { id: stored.authority_id, certificate: stored.certificate, window, issuer })
    }

    /// Its entry in the bundle (X509-SVID, section 6.1).
    fn to_jwk(&self) -> Value {
        // An uncompressed point: 0x04, x, y.
        let (x, y) = self.issuer.key().der_bytes().get(1..).unwrap_or_default().split_at(32);
        json!({
            "use": "x509-svid", "kty": "EC", "crv": "P-256", "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
            "x5c": [STANDARD.encode(&self.certificate)],
        })
    }
}

/// All authorities of the trust domain that are in the bundle.
#[derive(Debug, Default)]
pub(crate) struct Authorities(Vec<Arc<Authority>>);

impl Authorities {
    /// Opens the stored authorities; those that `known` has already opened are taken from there.
    pub(crate) fn open(stored: Vec<StoredAuthority>, known: Option<&Self>, secrets: &Secrets) -> Result<Self, Error> {
        let open = |stored: StoredAuthority| {
            let known = known.and_then(|known| known.0.iter().find(|known| known.id == stored.authority_id));
            known.map_or_else(|| Authority::open(stored, secrets).map(Arc::new), |known| Ok(known.clone()))
        };
        stored.into_iter().map(open).collect::<Result<_, _>>().map(Self)
    }

    /// The authority that signs now.
    pub(crate) fn signing(&self, now: OffsetDateTime) -> Option<&Arc<Authority>> {
        self.0.iter().find(|authority| authority.window.covers(now))
    }

    /// Whether an authority must be created, or one can be removed.
    pub(crate) fn due(&self, now: OffsetDateTime) -> bool {
        let windows: Vec<_> = self.0.iter().map(|authority| authority.window).collect();
        !missing_windows(&windows, now).is_empty() || windows.iter().any(|window| window.leaves() <= now)
    }

    /// The last authority that will sign, and until when.
    pub(crate) fn last(&self) -> Option<Ending> {
        let last = self.0.iter().max_by_key(|authority| authority.window.until)?;
        let (id, end_time) = (last.id.clone(), last.window.until);
        Some(Ending { kind: ExpiryKind::X509Authority, id, of: None, end_time })
    }

    /// The trusted certificates in DER.
    pub(crate) fn certificates(&self) -> Vec<Vec<u8>> {
        self.0.iter().map(|authority| authority.certificate.clone()).collect()
    }

    /// The bundle's entries.
    pub(crate) fn to_jwks(&self) -> Vec<Value> {
        self.0.iter().map(|authority| authority.to_jwk()).collect()
    }
}
