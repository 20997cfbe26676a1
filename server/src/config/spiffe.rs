//! Whose SPIFFE IDs instances have.

use countersign_core::spiffe::TrustDomain;

use super::settings::Settings;

const WANTED: &str = "a trust domain: 1 to 255 characters of a-z 0-9 . _ -, such as agents.example.com";

/// In dev, where the issuer is a mere name. No name of the public DNS ends so.
const DEV: &str = "dev.countersign.internal";

/// The trust domain that is named; unless one is, the host of the issuer's URL. None: instances have no SPIFFE IDs.
pub(super) fn trust_domain(settings: &mut Settings, issuer: Option<&str>, dev: bool) -> Option<TrustDomain> {
    let named = settings.text("spiffe.trust_domain").is_some();
    let domain = settings.parse("spiffe.trust_domain", WANTED, |text| text.parse().ok());
    if named {
        return domain;
    }
    issuer.and_then(TrustDomain::of_issuer).or_else(|| dev.then(|| DEV.parse().ok()).flatten())
}
