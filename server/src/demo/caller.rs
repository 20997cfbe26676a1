//! Somebody who calls the server over gRPC: an operator with a key, or an agent with its own credential.

use std::{io, net::SocketAddr, time::Duration};

use countersign_core::credential::KeySet;
use countersign_proto::v1::{
    WhoAmIRequest, credential_service_client::CredentialServiceClient, custody_service_client::CustodyServiceClient,
    decision_service_client::DecisionServiceClient, operator_service_client::OperatorServiceClient,
    sponsor_service_client::SponsorServiceClient,
};
use http_body_util::{BodyExt as _, Limited};
use secrecy::{ExposeSecret as _, SecretString};
use tonic::{
    Request,
    body::Body,
    metadata::{Ascii, MetadataValue},
    transport::{Channel, Endpoint, Error},
};
use tower::ServiceExt as _;

use super::ask::Unexpected;

const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const CALL_LIMIT: Duration = Duration::from_secs(10);
/// Largest key set, bytes.
const LARGEST_KEY_SET: usize = 64 * 1024;

/// A connection under one identity.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    channel: Channel,
    bearer: Option<MetadataValue<Ascii>>,
}

impl Caller {
    /// Connects as nobody.
    pub(super) async fn connect(address: SocketAddr) -> Result<Self, Error> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
        let channel = endpoint.connect_timeout(CONNECT_LIMIT).timeout(CALL_LIMIT).connect().await?;
        Ok(Self { channel, bearer: None })
    }

    /// The same connection as the holder of an API key or a credential.
    pub(super) fn with_token(&self, token: &SecretString) -> io::Result<Self> {
        let bearer = format!("Bearer {}", token.expose_secret()).parse::<MetadataValue<Ascii>>();
        let mut bearer = bearer.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "is no key"))?;
        bearer.set_sensitive(true);
        Ok(Self { channel: self.channel.clone(), bearer: Some(bearer) })
    }

    /// A request of this caller.
    pub(super) fn asks<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(bearer) = &self.bearer {
            request.metadata_mut().insert("authorization", bearer.clone());
        }
        request
    }

    pub(super) fn sponsors(&self) -> SponsorServiceClient<Channel> {
        SponsorServiceClient::new(self.channel.clone())
    }

    pub(super) fn credentials(&self) -> CredentialServiceClient<Channel> {
        CredentialServiceClient::new(self.channel.clone())
    }

    pub(super) fn decisions(&self) -> DecisionServiceClient<Channel> {
        DecisionServiceClient::new(self.channel.clone())
    }

    pub(super) fn custody(&self) -> CustodyServiceClient<Channel> {
        CustodyServiceClient::new(self.channel.clone())
    }

    /// Asks the server whether it knows this caller.
    pub(super) async fn is_known(&self) -> Result<(), Unexpected> {
        let mut operators = OperatorServiceClient::new(self.channel.clone());
        operators.who_am_i(self.asks(WhoAmIRequest {})).await?;
        Ok(())
    }

    /// The server's public keys, which anybody may read.
    pub(super) async fn public_keys(&self) -> Result<KeySet, Unexpected> {
        let wrong = |why: String| Unexpected::Answer(format!("/.well-known/jwks.json: {why}"));
        let mut request = http::Request::new(Body::empty());
        *request.uri_mut() = http::Uri::from_static("/.well-known/jwks.json");
        let response = self.channel.clone().oneshot(request).await.map_err(|error| wrong(error.to_string()))?;
        if response.status() != http::StatusCode::OK {
            return Err(wrong(response.status().to_string()));
        }
        let body = Limited::new(response.into_body(), LARGEST_KEY_SET).collect().await;
        let body = body.map_err(|error| wrong(error.to_string()))?.to_bytes();
        KeySet::from_jwks(&String::from_utf8_lossy(&body)).map_err(|error| wrong(error.to_string()))
    }
}
