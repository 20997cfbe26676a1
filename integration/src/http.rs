//! A plain HTTP/1.1 client, like curl.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};

use crate::{Failure, record};

/// Longest a request may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client of one address with one identity.
#[derive(Debug, Clone)]
pub struct Http {
    address: SocketAddr,
    token: Option<String>,
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON; null if it is not JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Http {
    /// A client that sends `token` as its bearer.
    #[must_use]
    pub fn new(address: SocketAddr, token: Option<&str>) -> Self {
        Self { address, token: token.map(str::to_owned) }
    }

    /// Reads a path.
    pub async fn get(&self, path: &str) -> Result<Answer, Failure> {
        self.send(Method::GET, path, &[], Bytes::new()).await
    }

    /// Posts JSON.
    pub async fn post(&self, path: &str, body: impl Into<Bytes>) -> Result<Answer, Failure> {
        self.send(Method::POST, path, &[("content-type", "application/json")], body.into()).await
    }

    /// Calls a method of the contract in proto-JSON: `("SponsorService/GetSponsor", json!({...}))`.
    pub async fn call(&self, method: &str, request: &Value) -> Result<Answer, Failure> {
        self.post(&format!("/countersign.v1.{method}"), request.to_string()).await
    }

    /// Sends any request, on a new connection.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer, Failure> {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, self.address.to_string());
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body))?;
        timeout(PATIENCE, self.exchange(request)).await?
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, Failure> {
        let stream = TcpStream::connect(self.address).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let (parts, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        record::secrets_of(&body);
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }
}
