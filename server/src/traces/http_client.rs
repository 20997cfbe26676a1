//! The HTTP client of the exporter: the server's own.

use std::{fmt, io, path::Path, pin::Pin};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use opentelemetry_http::{HttpClient, HttpError};

use super::headers::Headers;
use crate::https::{self, HttpsClient, with_causes};

/// How much of an answer is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

/// Posts messages to a collector.
pub(super) struct Post {
    client: HttpsClient,
    headers: Headers,
}

impl Post {
    /// Also trusts the authorities in `ca`.
    pub(super) fn new(ca: Option<&Path>, headers: Headers) -> io::Result<Self> {
        Ok(Self { client: https::client(ca)?, headers })
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (mut parts, body) = request.into_parts();
        self.headers.put(&mut parts.headers);
        let request = Request::from_parts(parts, Full::new(body));
        let answer = self.client.request(request).await.map_err(|error| with_causes(&error))?;
        let (parts, body) = answer.into_parts();
        let body = Limited::new(body, MAX_ANSWER).collect().await?.to_bytes();
        Ok(Response::from_parts(parts, body))
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
