//! The certificates, by X509-SVID: what an authority's says, and what an instance's; the serial number, and how far the
//! begin is set back.

use countersign_core::spiffe::{Lifetime, SpiffeId};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, SerialNumber, string::Ia5String,
};

use super::CsrKey;
use crate::Error;

/// How far a certificate's begin is set back, seconds: TLS libraries take no leeway.
pub(crate) const CERTIFICATE_BACKDATE: u32 = 10;

/// A certificate's serial number: 126 random bits, always of 16 bytes, so that it is written in one way.
pub(crate) type Serial = [u8; 16];

/// A serial number out of random bytes.
pub(crate) const fn serial(mut random: Serial) -> Serial {
    // Positive, as DER reads it, and without a leading zero.
    random[0] = random[0] & 0x3f | 0x40;
    random
}

/// The self-signed certificate of an authority, which bears its trust domain's id.
pub(crate) fn of_authority(key: &KeyPair, id: &SpiffeId, serial: Serial, life: Lifetime) -> Result<Certificate, Error> {
    let mut params = params(id, serial, life)?;
    params.distinguished_name.push(DnType::OrganizationName, "Countersign");
    // Each has its own: a verifier finds an issuer by its name.
    params.distinguished_name.push(DnType::CommonName, format!("X.509-SVID authority {}", hex::encode(serial)));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.self_signed(key).map_err(failed)
}

/// An instance's certificate: one name, its SPIFFE ID, and nothing that was asked for but the key.
pub(crate) fn of_instance(
    key: &CsrKey,
    id: &SpiffeId,
    serial: Serial,
    life: Lifetime,
    issuer: &Issuer<'static, KeyPair>,
) -> Result<Certificate, Error> {
    let mut params = params(id, serial, life)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    params.signed_by(key, issuer).map_err(failed)
}

fn params(id: &SpiffeId, serial: Serial, life: Lifetime) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.subject_alt_names = vec![SanType::URI(Ia5String::try_from(id.as_str()).map_err(failed)?)];
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    (params.not_before, params.not_after) = (life.begin, life.end);
    Ok(params)
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::internal("a certificate cannot be made", error)
}

#[cfg(test)]
mod tests {
    use countersign_core::{
        ids::InstanceId,
        spiffe::{TrustDomain, lifetime},
    };
    use rcgen::PKCS_ECDSA_P256_SHA256;
    use time::Duration;
    use uuid::Uuid;
    use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

    use super::*;
    use crate::testing::NOW;

    fn domain() -> TrustDomain {
        "agents.example.com".parse().unwrap()
    }

    fn key() -> KeyPair {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
    }

    fn names<'a>(certificate: &'a X509Certificate<'a>) -> Vec<&'a GeneralName<'a>> {
        certificate.subject_alternative_name().unwrap().unwrap().value.general_names.iter().collect()
    }

    fn authority() -> (Vec<u8>, Issuer<'static, KeyPair>) {
        let (key, life) = (key(), Lifetime { begin: NOW, end: NOW + Duration::days(2) });
        let der = of_authority(&key, &domain().id(), serial([0xff; 16]), life).unwrap().der().to_vec();
        let issuer = Issuer::from_ca_cert_der(&der.as_slice().into(), key).unwrap();
        (der, issuer)
    }

    #[test]
    fn an_authority_signs_certificates_of_its_trust_domain_and_no_other_authorities() {
        let (der, _) = authority();
        let (_, certificate) = X509Certificate::from_der(&der).unwrap();
        assert_eq!(names(&certificate), [&GeneralName::URI("spiffe://agents.example.com")]);
        let constraints = certificate.basic_constraints().unwrap().unwrap();
        assert!(constraints.critical && constraints.value.ca);
        assert_eq!(constraints.value.path_len_constraint, Some(0));
        let usage = certificate.key_usage().unwrap().unwrap().value;
        assert!(usage.key_cert_sign() && usage.crl_sign() && !usage.digital_signature());
        certificate.verify_signature(None).unwrap();
    }

    #[test]
    fn an_instance_gets_one_name_and_the_usages_of_tls() {
        let (authority_der, issuer) = authority();
        let (_, authority) = X509Certificate::from_der(&authority_der).unwrap();
        let csr = CertificateParams::new(["admin.example.com".to_owned()]).unwrap().serialize_request(&key()).unwrap();
        let id = domain().instance(InstanceId(Uuid::nil()));
        let end = NOW + Duration::seconds(250);
        let life = lifetime(None, 300, end, CERTIFICATE_BACKDATE, NOW).unwrap();
        let asked = CsrKey::from_der(csr.der()).unwrap();
        let der = of_instance(&asked, &id, serial([0; 16]), life, &issuer).unwrap().der().to_vec();
        let (_, certificate) = X509Certificate::from_der(&der).unwrap();

        certificate.verify_signature(Some(authority.public_key())).unwrap();
        assert_eq!(names(&certificate), [&GeneralName::URI(id.as_str())]);
        // RFC 5280, section 4.2.1.6: a name that is the only one is critical.
        assert!(certificate.subject().iter().next().is_none());
        assert!(certificate.subject_alternative_name().unwrap().unwrap().critical);
        let constraints = certificate.basic_constraints().unwrap().unwrap().value;
        assert_eq!((constraints.ca, constraints.path_len_constraint), (false, None));
        assert_eq!(certificate.key_usage().unwrap().unwrap().value.flags, 1, "digitalSignature alone");
        let usage = certificate.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.server_auth && usage.client_auth && !usage.any && usage.other.is_empty());
        assert!(!usage.code_signing && !usage.email_protection && !usage.time_stamping && !usage.ocsp_signing);
        assert_eq!(certificate.raw_serial(), serial([0; 16]));
        let validity = certificate.validity();
        assert_eq!((validity.not_before.to_datetime(), validity.not_after.to_datetime()), (life.begin, end));
    }

    #[test]
    fn a_serial_number_is_positive_and_has_sixteen_bytes_in_every_spelling() {
        for random in [[0; 16], [0xff; 16], [0x80; 16]] {
            let serial = serial(random);
            assert!((0x40..0x80).contains(&serial[0]));
            assert_eq!((hex::encode(serial).len(), &serial[1..]), (32, &random[1..]));
        }
    }
}
