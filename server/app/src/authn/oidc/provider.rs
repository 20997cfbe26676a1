//! An identity provider: fetches its keys (JWKS) independently of requests, at start, every few minutes, and soon after
//! a token names an unknown key. If it does not answer, its last keys are used as long as they are recent enough; after
//! that its tokens are refused. Also verifies its tokens.

use std::{fmt, sync::Arc, time::Duration};

use countersign_core::json::{self, Rules};
use serde::Deserialize;
use time::OffsetDateTime;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    OidcIssuer,
    claims::caller,
    keys::Keys,
    verify::{Refused, verify},
};
use crate::{Error, OperatorCaller};

/// How often keys are fetched, which is how long a key that the provider has withdrawn may still be accepted.
const REFRESH: Duration = Duration::from_mins(5);
/// How soon a failed fetch is tried again.
const RETRY: Duration = Duration::from_secs(10);
/// The shortest pause between fetches, whatever callers send.
const AT_MOST_EVERY: Duration = Duration::from_secs(5);
/// How long keys are used that could not be fetched again.
const STALE: Duration = Duration::from_hours(1);
/// How long one fetch of both documents may take.
const FETCH: Duration = Duration::from_secs(8);
/// How long a caller waits while keys are being fetched.
const WAIT: Duration = Duration::from_secs(2);

/// A provider that identifies operators.
pub(crate) struct Provider {
    issuer: OidcIssuer,
    known: watch::Sender<Known>,
    wanted: Notify,
}

/// The known keys of a provider.
#[derive(Clone, Default)]
struct Known {
    keys: Option<Arc<Keys>>,
    fetched: Option<Instant>,
    attempted: Option<Instant>,
}

impl Known {
    fn young(&self) -> Option<&Arc<Keys>> {
        self.keys.as_ref().filter(|_| self.fetched.is_some_and(|at| at.elapsed() < STALE))
    }

    /// Whether newer keys may arrive soon, so that waiting is useful.
    fn may_change_soon(&self) -> bool {
        self.attempted.is_none_or(|at| at.elapsed() >= AT_MOST_EVERY)
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provider").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl Provider {
    pub(crate) fn new(issuer: OidcIssuer) -> Self {
        Self { issuer, known: watch::Sender::default(), wanted: Notify::new() }
    }

    pub(crate) const fn issuer(&self) -> &OidcIssuer {
        &self.issuer
    }

    /// The operator of `token`, and until when it is valid.
    pub(crate) async fn authenticate(
        &self,
        token: &str,
        now: OffsetDateTime,
    ) -> Result<(OperatorCaller, OffsetDateTime), Error> {
        let mut known = self.known.subscribe();
        let mut seen = known.borrow_and_update().clone();
        let mut verified = self.verify(token, &seen, now);
        if matches!(verified, Err(Failed::Keys | Failed::Token(Refused::UnknownKey))) {
            // Also if it is too early for another fetch: then the next one comes sooner.
            self.wanted.notify_one();
            if seen.may_change_soon() && timeout(WAIT, known.changed()).await.is_ok_and(|changed| changed.is_ok()) {
                seen = known.borrow_and_update().clone();
                verified = self.verify(token, &seen, now);
            }
        }
        let verified = verified.map_err(|failed| failed.error(&self.issuer.name))?;
        Ok((caller(&self.issuer, &verified.claims)?, verified.expire_time))
    }

    fn verify(&self, token: &str, known: &Known, now: OffsetDateTime) -> Result<super::verify::Verified, Failed> {
        let keys = known.young().ok_or(Failed::Keys)?;
        verify(token, keys, &self.issuer, now).map_err(Failed::Token)
    }

    /// Keeps the keys up to date until `stop`.
    pub(crate) async fn follow(self: Arc<Self>, stop: CancellationToken) {
        while let Some(fetched) = stop.run_until_cancelled(self.fetch()).await {
            let next = if self.note(fetched) { REFRESH } else { RETRY };
            let wanted = async {
                sleep(AT_MOST_EVERY).await;
                self.wanted.notified().await;
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(next) => {}
                () = wanted => {}
            }
        }
    }

    /// Stores the result of a fetch, and logs it if it changes anything.
    fn note(&self, fetched: Result<Keys, String>) -> bool {
        let (name, now, outcome) = (&self.issuer.name, Instant::now(), if fetched.is_ok() { "ok" } else { "failed" });
        metrics::counter!("countersign_oidc_key_fetches_total", "issuer" => name.clone(), "outcome" => outcome)
            .increment(1);
        let answered = fetched.is_ok();
        self.known.send_modify(|known| {
            known.attempted = Some(now);
            match fetched {
                Ok(keys) => (known.keys, known.fetched) = (Some(Arc::new(keys)), Some(now)),
                Err(why) => tracing::warn!(issuer = %name, %why, "an identity provider's keys cannot be fetched"),
            }
        });
        answered
    }

    async fn fetch(&self) -> Result<Keys, String> {
        timeout(FETCH, self.discover()).await.unwrap_or_else(|_| Err(format!("no answer within {FETCH:?}")))
    }

    async fn discover(&self) -> Result<Keys, String> {
        let (documents, issuer) = (&self.issuer.documents, &self.issuer.issuer);
        let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let jwks_uri = jwks_uri(&documents.get(url).await?, issuer)?;
        Keys::parse(&documents.get(jwks_uri).await?)
    }
}

/// The URL of the keys. By OpenID Connect Discovery 1.0, the configuration must be that of the issuer, and contains the
/// URL.
pub(super) fn jwks_uri(configuration: &[u8], issuer: &str) -> Result<String, String> {
    #[derive(Deserialize)]
    struct Configuration {
        issuer: String,
        jwks_uri: String,
    }
    let unreadable = |error: &dyn fmt::Display| format!("the provider's configuration cannot be used: {error}");
    let found = json::read(configuration, Rules::DOCUMENT).map_err(|error| unreadable(&error))?;
    let found = Configuration::deserialize(found).map_err(|error| unreadable(&error))?;
    if found.issuer != issuer {
        return Err("the provider's configuration is another issuer's than the configured one".to_owned());
    }
    Ok(found.jwks_uri)
}

/// Why a token was not accepted.
enum Failed {
    /// There are no keys with which to verify it.
    Keys,
    /// It was verified and refused.
    Token(Refused),
}

impl Failed {
    fn error(self, provider: &str) -> Error {
        let unauthenticated =
            |why: &str| Error::Unauthenticated { message: format!("the token of {provider} is not valid: {why}") };
        match self {
            Self::Keys => Error::NotReady(format!(
                "tokens of {provider} cannot be checked now: the identity provider's keys could not be fetched; an API \
                 key works meanwhile"
            )),
            Self::Token(Refused::UnknownKey) => {
                unauthenticated("it is signed with a key that the issuer does not publish")
            }
            Self::Token(Refused::Because(why)) => unauthenticated(why),
        }
    }
}
