//! Reads an identity provider's documents: over https, or from this machine, in limited time (`PATIENCE`) and size.

use std::{fmt, io, path::Path, time::Duration};

use countersign_app::{MAX_DOCUMENT, OidcDocuments};
use futures::{FutureExt as _, future::BoxFuture};
use http::{StatusCode, Uri, header};
use reqwest::Client;
use tokio::time::timeout;

use crate::{
    config::is_confidential,
    https::{self, Connections},
};

/// How long one document may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads documents over HTTPS, trusting the public certificate authorities and those of a file; from this machine also
/// over HTTP. Follows no redirects.
pub(crate) struct Web(Client);

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Web")
    }
}

impl Web {
    /// Also trusts the authorities in `ca`.
    pub(crate) fn new(ca: Option<&Path>) -> io::Result<Self> {
        Ok(Self(https::client(ca, Connections::Closed)?))
    }

    async fn read(&self, url: String) -> Result<Vec<u8>, String> {
        let uri: Uri = url.parse().map_err(|error| format!("{url} is not a valid URL: {error}"))?;
        if !is_confidential(&uri) {
            return Err(format!("{url} is neither https nor on this machine"));
        }
        let request = self.0.get(&url).header(header::ACCEPT, "application/json");
        let answer = request.send().await.map_err(|error| format!("{url}: {}", https::why(error)))?;
        if answer.status() != StatusCode::OK {
            return Err(format!("{url}: answered with {}", answer.status()));
        }
        let body = https::body(answer, MAX_DOCUMENT).await.map_err(|error| format!("{url}: {error}"))?;
        body.ok_or_else(|| format!("{url}: answered with more than {MAX_DOCUMENT} bytes"))
    }
}

impl OidcDocuments for Web {
    fn get(&self, url: String) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        let late = format!("{url}: no answer within {PATIENCE:?}");
        async move { timeout(PATIENCE, self.read(url)).await.unwrap_or(Err(late)) }.boxed()
    }
}
