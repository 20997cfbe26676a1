//! One connection to an installation, and a client per service.

use std::{net::IpAddr, time::Duration};

use countersign_core::credential::{KeyError, KeySet};
use http::{Request, Uri};
use http_body_util::{BodyExt, Limited};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use tonic::{
    body::Body,
    service::interceptor::InterceptedService,
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Error as TransportError},
};
use tower::ServiceExt;

use crate::{Bearer, InvalidBearer, v1};

/// How long a caller waits for a decision before it takes silence for a no. Set it on the request:
/// `request.set_timeout(DECISION_DEADLINE)`.
pub const DECISION_DEADLINE: Duration = Duration::from_millis(200);
/// How long any call may take, unless its request has a shorter timeout of its own. Streams: until they begin.
pub const TIMEOUT: Duration = Duration::from_secs(10);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
const MAX_JWKS: usize = 64 * 1024;

/// What every client of a [`Connection`] runs over.
pub type Service = InterceptedService<Channel, Bearer>;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address cannot be used.
    #[error("the endpoint must be http://host:port or https://host:port")]
    Endpoint(#[source] TransportError),
    /// What to trust is no certificate.
    #[error("the CA must be one or more certificates in PEM")]
    Ca,
    /// A token would be readable on its way.
    #[error("a token is not sent in clear text to another machine: use https, or pass a Channel of your own")]
    ClearText,
    /// The token cannot be sent.
    #[error(transparent)]
    Token(#[from] InvalidBearer),
    /// Nobody answered. Worth a retry.
    #[error("the server cannot be reached")]
    Unreachable(#[source] TransportError),
}

/// Why the server's public keys could not be read.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// Nobody answered. Worth a retry.
    #[error("the server cannot be reached")]
    Unreachable(#[source] TransportError),
    /// The answer is not a key set.
    #[error("/.well-known/jwks.json answered with HTTP status {0}")]
    Status(u16),
    /// The answer broke off or is longer than 64 KiB.
    #[error("/.well-known/jwks.json broke off, or is longer than {MAX_JWKS} bytes")]
    Body,
    /// The key set does not hold.
    #[error(transparent)]
    Keys(#[from] KeyError),
}

/// A connection to one installation under one identity. Cheap to clone; reconnects by itself.
#[derive(Debug, Clone)]
pub struct Connection {
    channel: Channel,
    bearer: Bearer,
    /// Whether what is sent can be read on its way to another machine.
    exposed: bool,
}

impl Connection {
    /// Connects to `endpoint`, such as `https://countersign.example:8080`, with `token` as the bearer: an operator's API
    /// key or an instance's credential. `https` trusts the public web's roots; for others see [`Self::connect_with_ca`].
    /// `http` with a token is for loopback only.
    pub async fn connect(endpoint: &str, token: Option<&str>) -> Result<Self, ConnectError> {
        Self::connect_trusting(endpoint, token, ClientTlsConfig::new().with_webpki_roots()).await
    }

    /// Connects as [`Self::connect`] does, and trusts the PEM certificates in `ca` instead of the public web's.
    pub async fn connect_with_ca(endpoint: &str, token: Option<&str>, ca: &[u8]) -> Result<Self, ConnectError> {
        // Looked at here: TLS would trust nobody, and say so of the server.
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(ca).collect();
        if certificates.map_or(true, |certificates| certificates.is_empty()) {
            return Err(ConnectError::Ca);
        }
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
        Self::connect_trusting(endpoint, token, tls).await
    }

    async fn connect_trusting(endpoint: &str, token: Option<&str>, tls: ClientTlsConfig) -> Result<Self, ConnectError> {
        let endpoint = Endpoint::from_shared(endpoint.to_owned()).map_err(ConnectError::Endpoint)?;
        let exposed = endpoint.uri().scheme_str() != Some("https") && !is_loopback(endpoint.uri());
        let bearer = bearer(token, exposed)?;
        let channel = prepare(endpoint, tls)?.connect().await.map_err(ConnectError::Unreachable)?;
        Ok(Self { channel, bearer, exposed })
    }

    /// Uses a channel of the caller's making, for client certificates or a sidecar that encrypts. The
    /// caller answers for its deadlines and for what protects it.
    #[must_use]
    pub const fn over(channel: Channel, bearer: Bearer) -> Self {
        Self { channel, bearer, exposed: false }
    }

    /// The same connection under another identity, such as the credential of an instance that was just issued.
    pub fn with_token(&self, token: &str) -> Result<Self, ConnectError> {
        let bearer = bearer(Some(token), self.exposed)?;
        Ok(Self { channel: self.channel.clone(), bearer, exposed: self.exposed })
    }

    /// Reads the installation's public keys from `/.well-known/jwks.json`. Keep them, and read them again when a token
    /// names a key that is not among them, but no more than every few seconds.
    pub async fn keys(&self) -> Result<KeySet, KeysError> {
        // No bearer: the keys are public, and the channel adds scheme and host.
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = Uri::from_static("/.well-known/jwks.json");
        let response = self.channel.clone().oneshot(request).await.map_err(KeysError::Unreachable)?;
        if response.status() != http::StatusCode::OK {
            return Err(KeysError::Status(response.status().as_u16()));
        }
        let body = Limited::new(response.into_body(), MAX_JWKS).collect().await.map_err(|_| KeysError::Body)?;
        let bytes = body.to_bytes();
        Ok(KeySet::from_jwks(std::str::from_utf8(&bytes).map_err(|_| KeysError::Body)?)?)
    }
}

macro_rules! services {
    ($($(#[$doc:meta])* $name:ident: $module:ident :: $client:ident,)*) => {
        impl Connection {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $name(&self) -> v1::$module::$client<Service> {
                    v1::$module::$client::with_interceptor(self.channel.clone(), self.bearer.clone())
                }
            )*
        }
    };
}

services!(
    /// Sponsors and their lifecycle.
    sponsors: sponsor_service_client::SponsorServiceClient,
    /// The runs of agents.
    instances: instance_service_client::InstanceServiceClient,
    /// Issuing, delegating, reading and revoking credentials.
    credentials: credential_service_client::CredentialServiceClient,
    /// Whether a call may happen.
    decisions: decision_service_client::DecisionServiceClient,
    /// A person's answers.
    approvals: approval_service_client::ApprovalServiceClient,
    /// Policy documents.
    policies: policy_service_client::PolicyServiceClient,
    /// Moving callers from one policy to another.
    rollouts: rollout_service_client::RolloutServiceClient,
    /// The custody log.
    custody: custody_service_client::CustodyServiceClient,
    /// Signing keys.
    signing_keys: key_service_client::KeyServiceClient,
    /// Operators and their API keys.
    operators: operator_service_client::OperatorServiceClient,
    /// Readiness and indicators.
    status: status_service_client::StatusServiceClient,
    /// Documents that prove an instance's SPIFFE ID.
    svids: svid_service_client::SvidServiceClient,
);

fn prepare(endpoint: Endpoint, tls: ClientTlsConfig) -> Result<Endpoint, ConnectError> {
    let endpoint = endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true);
    if endpoint.uri().scheme_str() == Some("https") {
        return endpoint.tls_config(tls).map_err(ConnectError::Endpoint);
    }
    Ok(endpoint)
}

fn bearer(token: Option<&str>, exposed: bool) -> Result<Bearer, ConnectError> {
    match token {
        None => Ok(Bearer::anonymous()),
        Some(_) if exposed => Err(ConnectError::ClearText),
        Some(token) => Ok(Bearer::new(token)?),
    }
}

fn is_loopback(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host == "localhost" || bare.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_is_loopback() {
        for (uri, loopback) in [
            ("http://127.0.0.1:8080", true),
            ("http://[::1]:8080", true),
            ("http://localhost:8080", true),
            ("http://localhost.evil.example:8080", false),
            ("http://10.0.0.1:8080", false),
            ("http://127.0.0.1.evil.example", false),
        ] {
            assert_eq!(is_loopback(&uri.parse().unwrap()), loopback, "{uri}");
        }
    }

    #[tokio::test]
    async fn a_token_is_not_sent_in_clear_text_to_another_machine() {
        let refused = Connection::connect("http://countersign.example:8080", Some("csk_1_secret")).await;
        assert!(matches!(refused, Err(ConnectError::ClearText)));
    }
}
