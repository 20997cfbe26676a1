//! Delivers messages to webhooks: their headers, how long one attempt may take (`PATIENCE`), and which answers are a
//! success. A redirect is not followed.

use std::{fmt, io, path::Path, time::Duration};

use countersign_app::{Carrier, WebhookMessage};
use futures::{FutureExt as _, future::BoxFuture};
use http::header;
use reqwest::Client;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::timeout;

use crate::https::{self, Connections};

/// How long one attempt may take, until the answer is read.
const PATIENCE: Duration = Duration::from_secs(10);
/// How much of an answer is read, in bytes; its content does not matter.
const MAX_ANSWER: usize = 16 * 1024;

/// Posts messages to one address.
pub(crate) struct Post {
    client: Client,
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
        Ok(Self { client: https::client(ca, Connections::Closed)?, url })
    }

    async fn send(&self, message: WebhookMessage) -> Result<(), String> {
        let request = self
            .client
            .post(self.url.expose_secret())
            .header(header::CONTENT_TYPE, "application/json")
            .header("webhook-id", message.id)
            .header("webhook-timestamp", message.timestamp)
            .header("webhook-signature", message.signature)
            .body(message.body);
        let answer = request.send().await.map_err(https::why)?;
        // A redirect is not a success, and is not followed: a message that is signed for one receiver goes to no other.
        let status = answer.status();
        // Read, so that the receiver is not cut off while it still writes.
        drop(https::body(answer, MAX_ANSWER).await);
        if status.is_success() { Ok(()) } else { Err(format!("answered with {status}")) }
    }
}

impl Carrier for Post {
    fn carry(&self, message: WebhookMessage) -> BoxFuture<'_, Result<(), String>> {
        let late = || Err(format!("no answer within {PATIENCE:?}"));
        async move { timeout(PATIENCE, self.send(message)).await.unwrap_or_else(|_| late()) }.boxed()
    }
}
