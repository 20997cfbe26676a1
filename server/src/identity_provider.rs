//! Reads an identity provider's documents.

use std::{fmt, io, path::Path, time::Duration};

use countersign_app::{MAX_DOCUMENT, OidcDocuments};
use futures::{FutureExt as _, future::BoxFuture};
use http::{Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use tokio::time::timeout;

use crate::{
    config::is_confidential,
    https::{self, HttpsClient, with_causes},
};

/// How long one document may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads documents over HTTPS, trusting the public certificate authorities and those of a file; from this machine also
/// over HTTP. Follows no redirects.
pub(crate) struct Web(HttpsClient);

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Web")
    }
}

impl Web {
    /// Also trusts the authorities in `ca`.
    pub(crate) fn new(ca: Option<&Path>) -> io::Result<Self> {
        Ok(Self(https::client(ca)?))
    }

    async fn read(&self, url: String) -> Result<Vec<u8>, String> {
        let uri: Uri = url.parse().map_err(|error| format!("{url} is not a valid URL: {error}"))?;
        if !is_confidential(&uri) {
            return Err(format!("{url} is neither https nor on this machine"));
        }
        let request = Request::get(uri)
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("countersign/", env!("CARGO_PKG_VERSION")))
            .body(Full::default())
            .map_err(|error| format!("{url}: {error}"))?;
        let answer = self.0.request(request).await.map_err(|error| format!("{url}: {}", with_causes(&error)))?;
        if answer.status() != StatusCode::OK {
            return Err(format!("{url}: answered with {}", answer.status()));
        }
        let body = Limited::new(answer.into_body(), MAX_DOCUMENT).collect().await;
        Ok(body.map_err(|error| format!("{url}: {error}"))?.to_bytes().to_vec())
    }
}

impl OidcDocuments for Web {
    fn get(&self, url: String) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        let late = format!("{url}: no answer within {PATIENCE:?}");
        async move { timeout(PATIENCE, self.read(url)).await.unwrap_or(Err(late)) }.boxed()
    }
}
