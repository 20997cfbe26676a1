//! Operators whom an OpenID Connect provider names: a JWT of a configured issuer as bearer, its keys found by discovery.

mod claims;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod keys;
mod provider;
mod verify;

use std::{fmt, sync::Arc};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use countersign_core::{
    json::{self, Rules},
    operator::Roles,
};
use futures::future::BoxFuture;

pub(crate) use provider::Provider;

/// Largest document that is read, bytes: a provider's configuration, or its keys.
pub const MAX_DOCUMENT: usize = 256 * 1024;
/// Longest token, bytes.
const MAX_TOKEN: usize = 8 * 1024;

/// Where a provider's documents come from.
pub trait Documents: fmt::Debug + Send + Sync {
    /// Reads one over HTTPS, or HTTP from this machine: at most [`MAX_DOCUMENT`] bytes, within 5 s, no redirects followed.
    /// The error says why not, for the log.
    fn get(&self, url: String) -> BoxFuture<'_, Result<Vec<u8>, String>>;
}

/// An issuer whose tokens name operators.
#[derive(Debug, Clone)]
pub struct OidcIssuer {
    /// What its operators' ids begin with, after `oidc.`: 1 to 16 of `[a-z0-9-]`.
    pub name: String,
    /// Its URL, exactly as `iss` spells it.
    pub issuer: String,
    /// What `aud` must contain.
    pub audience: String,
    /// The claim that names the operator.
    pub operator_claim: String,
    /// The claim whose values are mapped to roles.
    pub role_claim: String,
    /// Values of that claim, and what each grants.
    pub roles: Vec<(String, Roles)>,
    /// Claims that must have these values.
    pub required: Vec<(String, String)>,
    /// Longest life of a token, from `iat` to `exp`, that is accepted.
    pub longest_life: std::time::Duration,
    /// The clients whose tokens count, by `azp`; empty: any client's.
    pub authorized_parties: Vec<String>,
    /// Where its documents come from.
    pub documents: Arc<dyn Documents>,
}

impl OidcIssuer {
    /// Everything that the issuer's tokens can grant.
    #[must_use]
    pub fn grants(&self) -> Roles {
        self.roles.iter().flat_map(|(_, roles)| roles.iter()).collect()
    }
}

/// The provider whose token a bearer claims to be. Nothing is verified yet.
pub(crate) fn claimed<'p>(providers: &'p [Arc<Provider>], bearer: &str) -> Option<&'p Arc<Provider>> {
    if providers.is_empty() || bearer.len() > MAX_TOKEN {
        return None;
    }
    let payload = URL_SAFE_NO_PAD.decode(bearer.split('.').nth(1)?).ok()?;
    let claims = json::read(&payload, Rules::DOCUMENT).ok()?;
    let iss = claims.get("iss")?.as_str()?;
    providers.iter().find(|provider| provider.issuer().issuer == iss)
}

#[cfg(test)]
mod tests;
