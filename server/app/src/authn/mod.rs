//! Authentication: API keys, credentials, OpenID Connect, client certificates; the rate limits of callers; and the
//! sizes of the caches of verified credentials and operators, and how long an operator stays in the cache.

pub(crate) mod authenticate;
pub(crate) mod client_certificates;
pub(crate) mod configured_operators;
pub(crate) mod is_granted;
pub(crate) mod known_grants;
pub(crate) mod known_keys;
pub(crate) mod known_operator;
pub(crate) mod limits;
pub(crate) mod oidc;
pub(crate) mod rate_limit;
pub(crate) mod reads;
pub(crate) mod refused_administration;
pub(crate) mod state_refused_administration;
pub(crate) mod stored_key;

use std::{sync::Arc, time::Duration};

use governor::clock::MonotonicClock;
use moka::sync::Cache;

use self::{
    known_grants::KnownGrants, known_keys::KnownKeys, known_operator::KnownOperator, rate_limit::Rates, reads::Reads,
    refused_administration::RefusedAdministrations,
};
use crate::{Config, Credential};

/// Limit of the verified credentials that are remembered.
const CREDENTIALS_KEPT: u64 = 20_000;

/// This server's knowledge about callers.
#[derive(Debug)]
pub(crate) struct Authn {
    pub(crate) grants: KnownGrants,
    pub(crate) keys: KnownKeys,
    /// Verified credentials by the SHA-256 of their token, so that a signature is checked only once. Expiry and
    /// revocation are checked on every call.
    pub(crate) credentials: Cache<[u8; 32], Arc<Credential>>,
    /// Operators by the SHA-256 of the key or token with which they authenticated a moment ago.
    pub(crate) operators: Cache<[u8; 32], KnownOperator>,
    pub(crate) providers: Vec<Arc<oidc::Provider>>,
    pub(crate) rates: Rates,
    pub(crate) reads: Reads,
    pub(crate) refused_administrations: RefusedAdministrations,
}

impl Authn {
    pub(crate) fn new(config: &Config, grants: KnownGrants) -> Self {
        let provider = |issuer: &oidc::OidcIssuer| Arc::new(oidc::Provider::new(issuer.clone()));
        Self {
            grants,
            keys: KnownKeys::default(),
            credentials: Cache::new(CREDENTIALS_KEPT),
            operators: Cache::builder().max_capacity(1_000).time_to_live(Duration::from_secs(5)).build(),
            providers: config.operators.oidc.iter().map(provider).collect(),
            rates: Rates::new(config.rates, &MonotonicClock),
            reads: Reads::new(config.reads_at_a_time),
            refused_administrations: RefusedAdministrations::default(),
        }
    }
}
