//! The HTTP client of the exporter of traces: the server's own. How much of a collector's answer is read
//! (`MAX_ANSWER`).

use std::{fmt, io, path::Path, pin::Pin};

use bytes::Bytes;
use http::{Request, Response};
use opentelemetry_http::{HttpClient, HttpError};
use reqwest::Client;

use super::headers::Headers;
use crate::https::{self, Connections};

/// How much of an answer is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// Posts messages to a collector.
pub(super) struct Post {
    client: Client,
    headers: Headers,
}

impl Post {
    /// Also trusts the authorities in `ca`.
    pub(super) fn new(ca: Option<&Path>, headers: Headers) -> io::Result<Self> {
        Ok(Self { client: https::client(ca, Connections::Closed)?, headers })
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (mut parts, body) = request.into_parts();
        self.headers.put(&mut parts.headers);
        let url = parts.uri.to_string();
        let request = self.client.request(parts.method, url).headers(parts.headers).body(body);
        let answer = request.send().await.map_err(https::why)?;
        let mut response = Response::builder().status(answer.status());
        if let Some(headers) = response.headers_mut() {
            headers.clone_from(answer.headers());
        }
        let body = https::body(answer, MAX_ANSWER).await?;
        let body = body.ok_or_else(|| format!("the collector's answer is longer than {MAX_ANSWER} bytes"))?;
        Ok(response.body(body.into())?)
    }
}

impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Post")
    }
}

impl HttpClient for Post {
    fn send_bytes<'a, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(self.send(request))
    }
}
