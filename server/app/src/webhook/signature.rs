//! Signatures of the Standard Webhooks specification 1.0: HMAC-SHA-256 over id, timestamp and body, one for each
//! secret; and the form of a secret (`whsec_`).

use aws_lc_rs::hmac;
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use secrecy::{ExposeSecret, SecretBox, SecretString};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Webhook, WebhookMessage};

/// The form of a secret, for error messages.
const SHAPE: &str = "must be whsec_ and 24 to 64 random bytes in base64; make one with `echo whsec_$(head -c 32 /dev/urandom | base64)`";

/// A secret that this server and one receiver share.
#[derive(Debug)]
pub struct WebhookSecret(SecretBox<[u8]>);

impl Clone for WebhookSecret {
    fn clone(&self) -> Self {
        Self(SecretBox::new(self.0.expose_secret().into()))
    }
}

impl WebhookSecret {
    /// Reads `whsec_...`; the error describes the required form.
    pub fn parse(text: &SecretString) -> Result<Self, &'static str> {
        let encoded = text.expose_secret().strip_prefix("whsec_").ok_or(SHAPE)?;
        let bytes = Zeroizing::new(BASE64.decode(encoded).map_err(|_| SHAPE)?);
        if !(24..=64).contains(&bytes.len()) {
            return Err(SHAPE);
        }
        Ok(Self(SecretBox::new(bytes.as_slice().into())))
    }

    fn sign(&self, signed: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.expose_secret());
        format!("v1,{}", BASE64.encode(hmac::sign(&key, signed)))
    }
}

impl Webhook {
    /// The message of one attempt.
    pub(super) fn sign(&self, message_id: Uuid, timestamp: i64, body: String) -> WebhookMessage {
        let id = format!("msg_{}", message_id.hyphenated());
        let signed = format!("{id}.{timestamp}.{body}");
        let signatures: Vec<_> = self.secrets.iter().map(|secret| secret.sign(signed.as_bytes())).collect();
        WebhookMessage { signature: signatures.join(" "), id, timestamp, body }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Result<WebhookSecret, &'static str> {
        WebhookSecret::parse(&text.into())
    }

    #[test]
    fn the_example_of_the_specification_is_signed_as_it_says() {
        let secret = secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = b"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{\"test\": 2432232314}";
        assert_eq!(secret.sign(signed), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn what_is_no_secret_is_refused_and_not_repeated() {
        for wrong in ["", "whsec_", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!!", &long()] {
            assert_eq!(secret(wrong).unwrap_err(), SHAPE, "{wrong}");
        }
        let debug = format!("{:?}", secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"));
        assert!(!debug.contains("MfKQ") && debug.contains("REDACTED"), "{debug}");
    }

    fn long() -> String {
        format!("whsec_{}", BASE64.encode([1; 65]))
    }
}
