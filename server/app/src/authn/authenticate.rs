//! Authentication of callers: an operator by API key or by an identity provider's token, a run by its credential, or in
//! dev mode any caller on loopback. Refuses unconfirmed keys and disabled logins. Decides how long an expired
//! credential still identifies its run, for reports much longer.

use std::sync::Arc;

use countersign_core::{
    api_key,
    credential::{Expect, KeySet, Refusal, Verified, verify_credential},
    decision::Reason,
    grant::HARD_MAX_TTL,
    names::OperatorId,
    operator::{ANONYMOUS, Roles},
};
use time::Duration;

use super::{
    known_operator::KnownOperator,
    oidc::{self, Provider},
};
use crate::{App, Caller, Error, OperatorCaller, credentials::credential::Credential, engine::sha256::sha256};

/// The purpose of authenticating.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To act.
    Acting,
    /// To report how calls ended. This needs no rights, and is evidence even if the run has ended.
    Reporting,
}

impl Purpose {
    /// How long after its end a credential still identifies the caller.
    fn remembers(self) -> Duration {
        match self {
            Self::Acting => Duration::seconds(HARD_MAX_TTL.into()),
            Self::Reporting => Duration::DAY,
        }
    }
}

/// The result of checking a token. An expired or revoked token of ours still says which run it belongs to.
#[derive(Debug, Clone)]
pub(crate) enum Presented {
    /// Its signature and claims are valid; it may have expired.
    Holds(Arc<Credential>),
    /// Its content cannot be trusted.
    Refused(Reason),
}

impl App {
    /// Identifies the caller. `bearer` is the text of `authorization: Bearer`; `loopback`, whether the peer is this
    /// machine.
    ///
    /// A credential that has expired or was revoked still authenticates, so that its refusal can be recorded; use
    /// [`App::ensure_live`] for everything that is not recorded.
    pub async fn authenticate(&self, bearer: Option<&str>, loopback: bool, purpose: Purpose) -> Result<Caller, Error> {
        // Parts that run once per credential, or rarely, are boxed, because a future is moved on every call with
        // everything that it may hold.
        match bearer {
            Some(key) if api_key::is_key(key) => Box::pin(self.operator(key)).await.map(Caller::Operator),
            Some(token) => match oidc::claimed(&self.inner.authn.providers, token) {
                Some(provider) => Box::pin(self.provided(provider, token)).await.map(Caller::Operator),
                None => self.instance(token, purpose).await.map(Caller::Instance),
            },
            None => match self.anonymous(loopback) {
                Some(anonymous) => Ok(Caller::Operator(anonymous)),
                None => Err(unauthenticated(MISSING)),
            },
        }
    }

    /// Like [`App::authenticate`], for a caller that was authenticated a moment ago: at once, without a query.
    #[must_use]
    pub fn recognise(&self, bearer: Option<&str>, loopback: bool, purpose: Purpose) -> Option<Caller> {
        let Some(bearer) = bearer else { return self.anonymous(loopback).map(Caller::Operator) };
        let hash = sha256(bearer.as_bytes());
        if let Some(known) = self.known_operator(&hash) {
            return Some(Caller::Operator(known));
        }
        let known = self.inner.authn.credentials.get(&hash)?;
        let end = known.expire_time + purpose.remembers();
        self.inner.engine.clock.may_hold(|now| now < end).then_some(Caller::Instance(known))
    }

    /// The operator for a caller on this machine without a credential, in dev mode.
    fn anonymous(&self, loopback: bool) -> Option<OperatorCaller> {
        let operator_id = (self.inner.engine.config.dev && loopback).then(|| ANONYMOUS.parse().ok())??;
        Some(OperatorCaller { operator_id, roles: Roles::all(), anonymous: true, scope: None })
    }

    fn known_operator(&self, hash: &[u8; 32]) -> Option<OperatorCaller> {
        let known = self.inner.authn.operators.get(hash)?;
        let over = known.expire_time.is_some_and(|at| !self.inner.engine.clock.may_hold(|now| now < at));
        let stands = known.epoch == self.snapshot().epoch && !over;
        stands.then_some(known.caller)
    }

    /// Refuses an instance whose credential is not active.
    pub fn ensure_live(&self, instance: &Verified) -> Result<(), Error> {
        let snapshot = self.snapshot();
        let [dead, perhaps] = self.inner.engine.clock.possible().map(|now| snapshot.dead(instance, now));
        perhaps.and(dead).map_or(Ok(()), |reason| {
            Err(Error::Unauthenticated { message: format!("the credential is dead ({reason}). {}", reason.remedy()) })
        })
    }

    async fn instance(&self, token: &str, purpose: Purpose) -> Result<Arc<Credential>, Error> {
        match self.present_for(token, purpose).await? {
            Presented::Holds(credential) => {
                let end = credential.expire_time + purpose.remembers();
                if !self.inner.engine.clock.may_hold(|now| now < end) {
                    return Err(unauthenticated("the credential expired long ago: ask the issuer for a fresh one"));
                }
                Ok(credential)
            }
            Presented::Refused(reason) => Err(Error::Unauthenticated {
                message: if token.split('.').count() == 3 {
                    format!("the bearer token is not valid ({reason}). {}", reason.remedy())
                } else {
                    format!(
                        "what came after Bearer is neither an API key (csk_...) nor a credential of this server ({reason})"
                    )
                },
            }),
        }
    }

    /// Verifies a token, once: a valid token is remembered by its hash.
    ///
    /// The log must also have its grant, with the same content. On an error that is unknown, so it is not trusted.
    pub(crate) async fn present(&self, token: &str) -> Result<Presented, Error> {
        self.present_for(token, Purpose::Acting).await
    }

    async fn present_for(&self, token: &str, purpose: Purpose) -> Result<Presented, Error> {
        let hash = sha256(token.as_bytes());
        if let Some(known) = self.inner.authn.credentials.get(&hash) {
            return Ok(Presented::Holds(known));
        }
        let mut verified = self.verify(token);
        if verified == Err(Refusal::UnknownKey) {
            // A key is published before it signs, so this server knows it already, unless it is late or clocks differ.
            Box::pin(self.inner.authority.refresh_for_unknown_key()).await;
            verified = self.verify(token);
        }
        if verified == Err(Refusal::UnknownKey) && purpose == Purpose::Reporting {
            // Keys rotate once a day, and a report may come a day later. No token of such a key is still active, and
            // remembered tokens are used for more than reports; so this one is not remembered.
            let keys = Box::pin(self.inner.past_keys.get(&self.inner.engine)).await;
            if let Err(Refusal::Expired(verified)) = self.verify_by(&keys, token)
                && self.is_granted(&verified).await?
            {
                return Ok(Presented::Holds(Arc::new(Credential::presented(*verified))));
            }
        }
        match verified {
            Ok(verified) | Err(Refusal::Expired(verified) | Refusal::Early(verified)) => {
                if verified.rev > self.snapshot().revocation_log.seq() {
                    // Another server may have granted it just now, after a revocation that this server has not seen.
                    Box::pin(self.inner.authority.try_refresh_snapshot()).await?;
                }
                if !self.is_granted(&verified).await? {
                    return Ok(Presented::Refused(Reason::CredentialInvalid));
                }
                let credential = Arc::new(Credential::presented(*verified));
                self.inner.authn.credentials.insert(hash, credential.clone());
                Ok(Presented::Holds(credential))
            }
            Err(refusal) => Ok(Presented::Refused(refusal.reason())),
        }
    }

    fn verify(&self, token: &str) -> Result<Box<Verified>, Refusal> {
        self.verify_by(&self.snapshot().keys.verifying, token)
    }

    fn verify_by(&self, keys: &KeySet, token: &str) -> Result<Box<Verified>, Refusal> {
        let config = &self.inner.engine.config;
        let expect = Expect { issuer: &config.issuer, audience: &config.audience };
        verify_credential(token, keys, &expect, self.inner.engine.clock.now()).map(Box::new)
    }

    async fn operator(&self, key: &str) -> Result<OperatorCaller, Error> {
        let hash = sha256(key.as_bytes());
        if let Some(known) = self.known_operator(&hash) {
            return Ok(known);
        }
        // The same answer for every error, so that keys cannot be probed.
        let wrong = || unauthenticated("the API key is unknown, expired or revoked: an admin can make another");
        let (key_id, secret) = api_key::parse(key).ok_or_else(wrong)?;
        let epoch = self.snapshot().epoch;
        let found = self.stored_key(key_id, secret).await.map_err(Error::of_no_read)?;
        let stored = found.ok_or_else(wrong)?;
        let alive = self.inner.engine.clock.may_hold(|now| stored.key.is_alive(now));
        if !self.inner.engine.secrets.api_matches(secret, &stored.secret_hash) || !alive {
            return Err(wrong());
        }
        if !stored.key.confirmed {
            return Err(unauthenticated("the API key waits for a second person, who confirms it with ConfirmApiKey"));
        }
        self.ensure_enabled(&stored.key.operator_id)?;
        let (operator_id, roles) = (stored.key.operator_id.clone(), stored.key.roles);
        let scope = (!stored.key.scope.is_empty()).then(|| Arc::new(stored.key.scope.clone()));
        let caller = OperatorCaller { operator_id, roles, anonymous: false, scope };
        let known = KnownOperator { caller: caller.clone(), expire_time: stored.key.expire_time, epoch };
        self.inner.authn.operators.insert(hash, known);
        Ok(caller)
    }

    /// Refuses a disabled login.
    pub(crate) fn ensure_enabled(&self, operator_id: &OperatorId) -> Result<(), Error> {
        if self.snapshot().disabled.contains(operator_id) {
            return Err(Error::Unauthenticated {
                message: format!(
                    "operator {operator_id} is disabled: an admin can enable them again with EnableOperator"
                ),
            });
        }
        Ok(())
    }

    async fn provided(&self, provider: &Provider, token: &str) -> Result<OperatorCaller, Error> {
        let epoch = self.snapshot().epoch;
        let [now, perhaps] = self.inner.engine.clock.possible();
        let (caller, end) = match provider.authenticate(token, now).await {
            Err(Error::Unauthenticated { .. }) if perhaps != now => provider.authenticate(token, perhaps).await?,
            other => other?,
        };
        self.ensure_enabled(&caller.operator_id)?;
        let known = KnownOperator { caller: caller.clone(), expire_time: Some(end), epoch };
        self.inner.authn.operators.insert(sha256(token.as_bytes()), known);
        Ok(caller)
    }
}

/// The message if there is no credential.
const MISSING: &str = "no credential came with the call: send `authorization: Bearer`, a space, and an API key (csk_...), or a credential \
     that POST /issue gives";

fn unauthenticated(message: &str) -> Error {
    Error::Unauthenticated { message: message.to_owned() }
}
