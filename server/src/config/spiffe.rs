//! The trust domain of the instances' SPIFFE IDs: as configured, otherwise the issuer's host, otherwise in dev a
//! built-in one.

use countersign_core::spiffe::TrustDomain;

use super::settings::Settings;

const WANTED: &str = "a trust domain: 1 to 255 characters of a-z 0-9 . _ -, such as agents.example.com";

/// The trust domain in dev, where the issuer is only a name. No name of the public DNS ends like this.
const DEV: &str = "dev.countersign.internal";

/// The configured trust domain; if none is configured, the host of the issuer's URL. `None` if instances have no SPIFFE
/// IDs.
pub(super) fn trust_domain(settings: &mut Settings, issuer: Option<&str>, dev: bool) -> Option<TrustDomain> {
    let named = settings.text("spiffe.trust_domain").is_some();
    let domain = settings.parse("spiffe.trust_domain", WANTED, |text| text.parse().ok());
    if named {
        return domain;
    }
    issuer.and_then(TrustDomain::of_issuer).or_else(|| dev.then(|| DEV.parse().ok()).flatten())
}
