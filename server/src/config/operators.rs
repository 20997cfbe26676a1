//! Operators in the configuration: those of identity providers (issuer, claims, roles, longest life of a token), and
//! holders of client certificates. Which URLs are confidential: https, or http on this machine.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use countersign_app::{RequiredClaim, RoleGrant};
use countersign_core::{
    client_certificate::SubjectAltName,
    names::{self, OperatorId},
    operator::{OperatorRole, Roles, reserved},
};
use http::Uri;

use super::{problem::Problem, settings::Settings};

/// The highest permitted limit for a token's lifetime, in hours: 30 days.
const LONGEST_LIFE_HOURS: u32 = 720;
/// Limit of the entries of each list.
const MOST: usize = 64;

/// Operators that exist without a row in the database.
#[derive(Debug, Default)]
pub struct Operators {
    /// Identity providers.
    pub oidc: Vec<OidcProvider>,
    /// Holders of client certificates.
    pub mtls: Vec<CertificateHolder>,
}

/// An identity provider, and what its tokens grant.
#[derive(Debug)]
pub struct OidcProvider {
    /// The start of its operators' ids after `oidc.`.
    pub name: String,
    /// Its URL, as in `iss`.
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
    /// Longest accepted lifetime of a token.
    pub longest_life: Duration,
    /// The clients whose tokens are accepted, by `azp`; empty for any client.
    pub authorized_parties: Vec<String>,
    /// Certificate authorities that are trusted for the provider besides the public ones, in PEM.
    pub ca: Option<PathBuf>,
}

/// The operator of a certificate with this name.
#[derive(Debug, Clone)]
pub struct CertificateHolder {
    /// The name in the certificate.
    pub san: SubjectAltName,
    /// The operator.
    pub operator_id: OperatorId,
    /// Their roles.
    pub roles: Roles,
}

impl Operators {
    pub(super) fn read(settings: &mut Settings) -> Self {
        let mut oidc: Vec<OidcProvider> = Vec::new();
        for key in settings.items("operators.oidc", MOST) {
            let Some(provider) = provider(settings, &key) else { continue };
            if oidc.iter().any(|other| other.name == provider.name) {
                settings.report(&format!("{key}.name"), "occurs twice: the operators of two providers would share ids");
            }
            if oidc.iter().any(|other| other.issuer == provider.issuer) {
                settings.report(&format!("{key}.issuer"), "occurs twice");
            }
            oidc.push(provider);
        }
        let mut mtls: Vec<CertificateHolder> = Vec::new();
        for key in settings.items("operators.mtls", MOST) {
            let Some(holder) = holder(settings, &key) else { continue };
            if mtls.iter().any(|other| other.san == holder.san) {
                settings.report(&format!("{key}.san"), "occurs twice");
            }
            mtls.push(holder);
        }
        if !mtls.is_empty() && settings.text("tls.client_ca").is_none() {
            settings.report("tls.client_ca", "is missing: operators.mtls needs it to verify client certificates");
        }
        Self { oidc, mtls }
    }
}

fn provider(settings: &mut Settings, key: &str) -> Option<OidcProvider> {
    let at = |name: &str| format!("{key}.{name}");
    let name = required(settings, &at("name"), "1 to 16 of a-z 0-9 -", |text| {
        let plain = text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        (plain && (1..=16).contains(&text.len())).then(|| text.to_owned())
    });
    let wanted = "the provider's https URL (http on this machine only), without query or fragment";
    let issuer = required(settings, &at("issuer"), wanted, |text| is_issuer(text).then(|| text.to_owned()));
    let audience = required(settings, &at("audience"), "1 to 255 characters without blanks", short);
    let mut claim = |name: &str, default: &str| {
        let named = settings.parse(&at(name), "the name of a claim, or a path with dots between", short);
        named.unwrap_or_else(|| default.to_owned())
    };
    let (operator_claim, role_claim) = (claim("operator_claim", "sub"), claim("role_claim", "roles"));
    let mut roles = Vec::new();
    for key in settings.items(&at("roles"), MOST) {
        let value = required(settings, &format!("{key}.value"), "a value of the role claim", text);
        let grants = granted(settings, &format!("{key}.grants"));
        roles.extend(value.zip(grants).map(|(value, grants)| RoleGrant { value, grants }));
    }
    if settings.items(&at("roles"), MOST).is_empty() {
        settings.report(&at("roles"), "is missing or empty: no token would grant a role");
    }
    let mut asked = Vec::new();
    for key in settings.items(&at("required"), MOST) {
        let claim = required(settings, &format!("{key}.claim"), "the name of a claim", short);
        let value = required(settings, &format!("{key}.value"), "the value it must have", text);
        asked.extend(claim.zip(value).map(|(claim, value)| RequiredClaim { claim, value }));
    }
    let longest_life = settings.number(&at("longest_life_hours"), 1..=LONGEST_LIFE_HOURS, 24);
    let mut authorized_parties = Vec::new();
    for (party, origin) in settings.list(&at("authorized_parties")) {
        if short(&party).is_none() {
            let wanted = "must be ids of clients, as azp names them: 1 to 255 characters without blanks";
            settings.report_all(vec![Problem::new(origin, &at("authorized_parties"), wanted)]);
        }
        authorized_parties.push(party);
    }
    let ca = settings.readable(&at("ca"));
    Some(OidcProvider {
        name: name?,
        issuer: issuer?,
        audience: audience?,
        operator_claim,
        role_claim,
        roles,
        required: asked,
        longest_life: Duration::from_hours(longest_life.into()),
        authorized_parties,
        ca,
    })
}

fn holder(settings: &mut Settings, key: &str) -> Option<CertificateHolder> {
    let wanted = "uri:, dns: or email: and a name, such as dns:gateway.example.com";
    let san = required(settings, &format!("{key}.san"), wanted, |text| text.parse().ok());
    let id_key = format!("{key}.operator_id");
    let operator_id = required(settings, &id_key, names::SHAPE, |text| text.parse().ok());
    if let Some(why) = operator_id.as_ref().and_then(reserved) {
        settings.report(&id_key, why);
    }
    let roles = granted(settings, &format!("{key}.roles"));
    Some(CertificateHolder { san: san?, operator_id: operator_id?, roles: roles? })
}

/// The roles of a list, at least one.
fn granted(settings: &mut Settings, key: &str) -> Option<Roles> {
    let items = settings.list(key);
    let mut roles = Vec::new();
    for (text, _) in &items {
        match text.parse::<OperatorRole>() {
            Ok(role) => roles.push(role),
            Err(wrong) => settings.report(key, format!("each {wrong}")),
        }
    }
    if items.is_empty() {
        settings.report(key, "is missing or empty: name at least one role");
    }
    (!roles.is_empty() && roles.len() == items.len()).then(|| Roles::from(roles))
}

/// A required value that `read` accepts.
pub(super) fn required<T>(
    settings: &mut Settings,
    key: &str,
    wanted: &str,
    read: impl FnOnce(&str) -> Option<T>,
) -> Option<T> {
    if settings.text(key).is_none() {
        settings.report(key, format!("is missing; it must be {wanted}"));
    }
    settings.parse(key, wanted, read)
}

fn short(text: &str) -> Option<String> {
    ((1..=255).contains(&text.len()) && !text.contains(char::is_whitespace)).then(|| text.to_owned())
}

fn text(text: &str) -> Option<String> {
    ((1..=255).contains(&text.len()) && !text.contains(char::is_control)).then(|| text.to_owned())
}

fn is_issuer(text: &str) -> bool {
    let plain = text.len() <= 255 && !text.contains(['?', '#']);
    plain && text.parse::<Uri>().is_ok_and(|uri| is_confidential(&uri))
}

/// Whether no one in between can read or change what is fetched from there: HTTPS, or this machine.
pub(crate) fn is_confidential(uri: &Uri) -> bool {
    let Some(host) = uri.host() else { return false };
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let loopback = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    match uri.scheme_str() {
        Some("https") => true,
        Some("http") => loopback,
        _ => false,
    }
}
