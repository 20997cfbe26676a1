//! Operators from an OpenID Connect provider (identity provider): the bearer is a JWT of a configured issuer, whose
//! keys are found by discovery. The settings of an issuer, and the longest token and document.

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

/// Size limit of a document in bytes: a provider's configuration, or its keys.
pub const MAX_DOCUMENT: usize = 256 * 1024;
/// Longest token, bytes.
const MAX_TOKEN: usize = 8 * 1024;

/// The source of a provider's documents.
pub trait Documents: fmt::Debug + Send + Sync {
    /// Reads a document over HTTPS, or over HTTP from this machine: at most [`MAX_DOCUMENT`] bytes, within 5 s, without
    /// following redirects. The error says why it failed, for the log.
    fn get(&self, url: String) -> BoxFuture<'_, Result<Vec<u8>, String>>;
}

/// What a value of the role claim grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleGrant {
    /// The value.
    pub value: String,
    /// What it grants.
    pub grants: Roles,
}

/// A claim that a token must have with this value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequiredClaim {
    /// Its name.
    pub claim: String,
    /// The value.
    pub value: String,
}

/// An issuer whose tokens identify operators.
#[derive(Debug, Clone)]
pub struct OidcIssuer {
    /// The start of its operators' ids after `oidc.`: 1 to 16 characters of `[a-z0-9-]`.
    pub name: String,
    /// Its URL, exactly as in `iss`.
    pub issuer: String,
    /// The value that `aud` must contain.
    pub audience: String,
    /// The claim with the operator's name.
    pub operator_claim: String,
    /// The claim whose values are mapped to roles.
    pub role_claim: String,
    /// Values of that claim, and the roles that each grants.
    pub roles: Vec<RoleGrant>,
    /// Claims that must have these values.
    pub required: Vec<RequiredClaim>,
    /// Longest accepted lifetime of a token, from `iat` to `exp`.
    pub longest_life: std::time::Duration,
    /// The clients whose tokens are accepted, by `azp`; empty for any client.
    pub authorized_parties: Vec<String>,
    /// The source of its documents.
    pub documents: Arc<dyn Documents>,
}

impl OidcIssuer {
    /// All roles that the issuer's tokens can grant.
    #[must_use]
    pub fn grants(&self) -> Roles {
        self.roles.iter().flat_map(|role| role.grants.iter()).collect()
    }
}

/// The provider that a bearer claims to come from. Nothing is verified yet.
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
