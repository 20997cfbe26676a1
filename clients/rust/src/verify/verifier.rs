//! Follows an installation in the background, so that tokens can be checked at once and on the spot.

use std::{fmt, sync::Arc, time::Duration};

use countersign_core::{
    clock::{Clock, SystemClock, SystemEntropy, random},
    credential::{Expect, KeySet, Refusal, Verified},
};
use tokio::{
    sync::{Notify, watch},
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout},
};
use tonic::{Status, Streaming};

use super::view::{Denied, Dial, View};
use crate::{Connection, v1};

/// After this long without news the stream is given up for another one: in time for that to be heard before the bound.
const QUIET: Duration = Duration::from_secs(3);
/// How often the keys are read unasked.
const KEYS_EVERY: Duration = Duration::from_mins(1);
/// How often they are read at most, however many tokens name keys that are not known.
const KEYS_SPACING: Duration = Duration::from_secs(3);
/// Longest that reading the keys may take.
const KEYS_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause before the next attempt: doubled from the first to the longest, and half of it by chance.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Says of credentials whether they may be accepted now: by signature and claims, and by the revocations that the
/// installation has told of. It follows `WatchRevocations` and the public keys in the background for as long as it, or a
/// clone, lives, and takes up where it stopped when the connection breaks.
///
/// Nothing is accepted while the installation is out of reach: see [`STALENESS_BOUND`](super::STALENESS_BOUND). A
/// revocation reaches every verifier within it, usually in milliseconds.
///
/// ```no_run
/// use countersign_client::{Connection, verify::Verifier};
///
/// # async fn example(token: &str) -> Result<(), Box<dyn std::error::Error>> {
/// // The key of an operator with the role gate or auditor.
/// let connection = Connection::connect("https://countersign.example:8080", Some("csk_...")).await?;
/// let verifier = Verifier::follow(connection, "https://countersign.example", "countersign");
/// verifier.ready().await;
/// let credential = verifier.verify(token)?;
/// println!("{} answers for this call", credential.sponsor_id);
/// # Ok(())
/// # }
/// ```
///
/// What it accepts is a credential: who calls. Whether the call is allowed only `Decide` says.
#[derive(Clone)]
pub struct Verifier {
    inner: Arc<Inner>,
}

struct Inner {
    view: watch::Receiver<View>,
    keys_wanted: Arc<Notify>,
    issuer: String,
    audience: String,
    follower: JoinHandle<()>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { issuer, audience, .. } = &*self.inner;
        f.debug_struct("Verifier").field("issuer", issuer).field("audience", audience).finish_non_exhaustive()
    }
}

impl Verifier {
    /// Begins to follow the installation at the other end of `connection`, whose `issuer` and `audience` are known.
    /// Denies everything until it has the list; [`Self::ready`] waits for that. An operator's connection (gate, auditor)
    /// is told of every revocation, an instance's of those that concern itself.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime.
    #[must_use]
    pub fn follow(connection: Connection, issuer: &str, audience: &str) -> Self {
        let (sender, view) = watch::channel(View::default());
        let keys_wanted = Arc::new(Notify::new());
        let follower = Follower { connection, view: sender, keys_wanted: keys_wanted.clone() };
        let follower = tokio::spawn(follower.run());
        let (issuer, audience) = (issuer.to_owned(), audience.to_owned());
        Self { inner: Arc::new(Inner { view, keys_wanted, issuer, audience, follower }) }
    }

    /// Returns as soon as tokens can be verified.
    pub async fn ready(&self) {
        let mut view = self.inner.view.clone();
        // Fails when the follower has ended, and it never does.
        let _ = view.wait_for(|view| view.is_present(Instant::now())).await;
    }

    /// What the credential says, where it may be accepted now. Asks nobody, and takes as long as checking a signature.
    pub fn verify(&self, token: &str) -> Result<Verified, Denied> {
        let Inner { view, issuer, audience, .. } = &*self.inner;
        let verified = view.borrow().check(token, &Expect { issuer, audience }, Instant::now(), SystemClock.now());
        if verified == Err(Denied::Refused(Refusal::UnknownKey)) {
            self.inner.keys_wanted.notify_one();
        }
        verified
    }

    /// Why the installation cannot be followed just now, in words for a log; none: it is followed.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.inner.view.borrow().trouble.clone()
    }
}

/// The task behind a verifier.
struct Follower {
    connection: Connection,
    view: watch::Sender<View>,
    keys_wanted: Arc<Notify>,
}

impl Follower {
    async fn run(self) {
        let mut pause = Pause::default();
        loop {
            let trouble = self.attempt(&mut pause).await;
            self.view.send_modify(|view| view.trouble = Some(trouble));
            sleep(pause.take()).await;
        }
    }

    /// One stream, from asking for it to its end. Returns why it ended.
    async fn attempt(&self, pause: &mut Pause) -> String {
        let asked = Instant::now();
        match timeout(QUIET, self.open()).await {
            Ok(Ok(stream)) => self.listen(stream, asked, pause).await,
            Ok(Err(status)) => status.to_string(),
            Err(_) => "no stream was opened in time".to_owned(),
        }
    }

    async fn open(&self) -> Result<Streaming<v1::WatchRevocationsResponse>, Status> {
        let since = self.view.borrow().seq();
        let request = v1::WatchRevocationsRequest { since };
        Ok(self.connection.credentials().watch_revocations(request).await?.into_inner())
    }

    async fn listen(
        &self,
        mut stream: Streaming<v1::WatchRevocationsResponse>,
        asked: Instant,
        pause: &mut Pause,
    ) -> String {
        let (mut dial, mut keys_read) = (Dial::new(asked), asked);
        loop {
            let news = self.view.borrow().complete_until().max(Some(asked)).unwrap_or(asked);
            tokio::select! {
                message = stream.message() => {
                    let message = match message {
                        Ok(Some(message)) => message,
                        Ok(None) => return "the server ended the stream".to_owned(),
                        Err(status) => return status.to_string(),
                    };
                    match self.hear(&message, &mut dial).await {
                        Ok(()) => pause.reset(),
                        Err(trouble) => return trouble,
                    }
                }
                () = self.keys_due(keys_read) => {
                    keys_read = Instant::now();
                    // Where that fails the ones at hand are good until the next attempt: a compromised one is entered.
                    if let Ok(keys) = self.keys().await {
                        self.view.send_modify(|view| view.learn_keys(keys));
                    }
                }
                () = sleep_until(news + QUIET) => return "the stream sent no heartbeat in time".to_owned(),
            }
        }
    }

    async fn hear(&self, message: &v1::WatchRevocationsResponse, dial: &mut Dial) -> Result<(), String> {
        let received = Instant::now();
        let keys = if message.snapshot { Some(self.keys().await?) } else { None };
        let mut heard = Ok(());
        self.view.send_modify(|view| heard = view.hear(message, keys, dial, received));
        heard.map_err(|_| "the server sent revocations that this version cannot read".to_owned())
    }

    async fn keys(&self) -> Result<KeySet, String> {
        match timeout(KEYS_TIMEOUT, self.connection.keys()).await {
            Ok(keys) => keys.map_err(|error| error.to_string()),
            Err(_) => Err("the public keys were not read in time".to_owned()),
        }
    }

    /// Returns when the keys are to be read again: now and then, and when a token named one that is not known.
    async fn keys_due(&self, read: Instant) {
        let asked_for = async {
            sleep_until(read + KEYS_SPACING).await;
            self.keys_wanted.notified().await;
        };
        tokio::select! {
            () = asked_for => {}
            () = sleep_until(read + KEYS_EVERY) => {}
        }
    }
}

/// How long to wait before the next attempt.
struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(PAUSES.0)
    }
}

impl Pause {
    fn reset(&mut self) {
        *self = Self::default();
    }

    fn take(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(PAUSES.1);
        let [chance] = random::<1>(&SystemEntropy);
        pause / 2 + pause / 2 * u32::from(chance) / 255
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_come_ever_more_rarely_but_within_five_seconds_of_each_other() {
        let mut pause = Pause::default();
        for longest in [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
            let (taken, longest) = (pause.take(), Duration::from_millis(longest));
            assert!((longest / 2..=longest).contains(&taken), "{taken:?} of {longest:?}");
        }
        pause.reset();
        assert!(pause.take() <= PAUSES.0);
    }
}
