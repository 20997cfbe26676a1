//! Who the caller is: an API key or a credential, sent with every request.

use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::Interceptor,
};

/// The token cannot stand in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token has characters that no API key or credential has")]
pub struct InvalidBearer;

/// Adds `authorization: Bearer <token>` to every request; adds nothing for an anonymous caller.
///
/// The value is marked sensitive: `Debug` does not show it, and HTTP/2 does not keep it in its header table.
#[derive(Debug, Clone, Default)]
pub struct Bearer(Option<MetadataValue<Ascii>>);

impl Bearer {
    /// A caller who brings `token`, an API key (`csk_...`) or an instance's credential.
    pub fn new(token: &str) -> Result<Self, InvalidBearer> {
        let mut value: MetadataValue<Ascii> = format!("Bearer {token}").parse().map_err(|_| InvalidBearer)?;
        value.set_sensitive(true);
        Ok(Self(Some(value)))
    }

    /// A caller without a name; only a server in `--dev` answers one.
    #[must_use]
    pub const fn anonymous() -> Self {
        Self(None)
    }

    /// Whether there is no token.
    #[must_use]
    pub const fn is_anonymous(&self) -> bool {
        self.0.is_none()
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_sent_and_never_shown() {
        let mut bearer = Bearer::new("csk_1_secret").unwrap();
        assert!(!format!("{bearer:?}").contains("secret"));
        let request = bearer.call(Request::new(())).unwrap();
        assert_eq!(request.metadata().get("authorization").unwrap(), "Bearer csk_1_secret");
    }

    #[test]
    fn an_anonymous_caller_sends_nothing() {
        let request = Bearer::anonymous().call(Request::new(())).unwrap();
        assert!(request.metadata().get("authorization").is_none());
    }

    #[test]
    fn a_token_that_would_break_the_header_is_refused() {
        assert_eq!(Bearer::new("a\r\nx-evil: 1").unwrap_err(), InvalidBearer);
    }
}
