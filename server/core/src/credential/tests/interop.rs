//! A library that is not ours reads what we sign, and we read what it signs.

use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode as sign_elsewhere, jwk::Jwk,
};

use super::*;

#[test]
fn another_library_accepts_our_credential_with_our_key() {
    let jwk: Jwk = serde_json::from_value(KEY.verifying_key().to_jwk()).unwrap();
    assert_eq!(jwk.thumbprint(jsonwebtoken::jwk::ThumbprintHash::SHA256).unwrap(), KEY.kid());
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_issuer(&[EXPECT.issuer]);
    validation.set_audience(&[EXPECT.audience]);
    validation.validate_exp = false; // it reads the machine's clock
    let token = sign_credential(&claims(), &KEY).unwrap();
    let read = decode::<Claims>(&token, &DecodingKey::from_jwk(&jwk).unwrap(), &validation).unwrap();
    assert_eq!(read.claims, claims());
    assert_eq!((read.header.typ.as_deref(), read.header.kid.as_deref()), (Some(TYP_CREDENTIAL), Some(KEY.kid())));
}

#[test]
fn we_accept_the_same_claims_signed_by_another_library() {
    let mut header = Header::new(Algorithm::ES256);
    (header.typ, header.kid) = (Some(TYP_CREDENTIAL.into()), Some(KEY.kid().into()));
    let key = EncodingKey::from_ec_der(KEY.to_pkcs8().unwrap().as_ref());
    assert!(verify(&sign_elsewhere(&header, &claims(), &key).unwrap()).is_ok());
}
