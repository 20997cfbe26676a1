//! Delivers messages to webhooks.

use std::{fmt, io, path::Path, time::Duration};

use countersign_app::{Carrier, WebhookMessage};
use futures::{FutureExt as _, future::BoxFuture};
use http::{Request, Uri, header};
use http_body_util::{BodyExt as _, Limited};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::timeout;

use crate::https::{self, HttpsClient, with_causes};

/// How long one attempt may take, until the answer is read.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much of an answer is read, in bytes; its content does not matter.
const MAX_ANSWER: usize = 16 * 1024;

/// Posts messages to one address.
pub(crate) struct Post {
    client: HttpsClient,
    /// It is a secret, because services hide tokens in paths.
    url: SecretString,
}

impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Post")
    }
}

impl Post {
    /// Also trusts the authorities in `ca`.
    pub(crate) fn new(url: SecretString, ca: Option<&Path>) -> io::Result<Self> {
        Ok(Self { client: https::client(ca)?, url })
    }

    async fn send(&self, message: WebhookMessage) -> Result<(), String> {
        let uri: Uri = self.url.expose_secret().parse().map_err(|_| "its address is not a valid URL".to_owned())?;
        let request = Request::post(uri)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("countersign/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", message.id)
            .header("webhook-timestamp", message.timestamp)
            .header("webhook-signature", message.signature)
            .body(message.body.into())
            .map_err(|error| error.to_string())?;
        let answer = self.client.request(request).await.map_err(|error| with_causes(&error))?;
        // A redirect is not a success, and is not followed: a message that is signed for one receiver goes to no other.
        let status = answer.status();
        // Read, so that the receiver is not cut off while it still writes.
        drop(Limited::new(answer.into_body(), MAX_ANSWER).collect().await);
        if status.is_success() { Ok(()) } else { Err(format!("answered with {status}")) }
    }
}

impl Carrier for Post {
    fn carry(&self, message: WebhookMessage) -> BoxFuture<'_, Result<(), String>> {
        let late = || Err(format!("no answer within {PATIENCE:?}"));
        async move { timeout(PATIENCE, self.send(message)).await.unwrap_or_else(|_| late()) }.boxed()
    }
}
