//! Endpoints that are informed at once about events that persons should know about: at most `MOST`, each with an https
//! URL, secrets for signatures, and its events.

use std::path::PathBuf;

use countersign_app::{Topic, WebhookSecret};
use http::Uri;
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    operators::{is_confidential, required},
    settings::Settings,
};
use crate::secret_file;

/// Limit of the endpoints, because each has a task on every server.
const MOST: usize = 16;

/// An endpoint.
#[derive(Debug)]
pub struct WebhookEndpoint {
    /// Its name in the outbox, in metrics and in the log.
    pub name: String,
    /// The URL to which messages are posted. It is a secret, because services hide tokens in paths.
    pub url: SecretString,
    /// The secrets with which messages are signed, the newest first.
    pub secrets: Vec<WebhookSecret>,
    /// The subjects that it subscribes to.
    pub topics: Vec<Topic>,
    /// Certificate authorities that are trusted for it besides the public ones, in PEM.
    pub ca: Option<PathBuf>,
}

impl WebhookEndpoint {
    /// All configured endpoints.
    pub(super) fn read_all(settings: &mut Settings) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for key in settings.items("webhooks", MOST) {
            let Some(endpoint) = endpoint(settings, &key) else { continue };
            if all.iter().any(|other| other.name == endpoint.name) {
                settings
                    .report(&format!("{key}.name"), "occurs twice: messages for one endpoint would go to the other");
            }
            all.push(endpoint);
        }
        all
    }
}

fn endpoint(settings: &mut Settings, key: &str) -> Option<WebhookEndpoint> {
    let at = |name: &str| format!("{key}.{name}");
    let name = name(settings, &at("name"));
    let url = address(settings, &at("url"));
    let current = secret(settings, &at("secret_file"));
    if settings.text(&at("secret_file")).is_none() {
        settings.report(
            &at("secret_file"),
            "is missing: it names the 0600 file of the secret that messages are signed with",
        );
    }
    // While a receiver changes its secret, messages have both signatures.
    let previous = secret(settings, &at("previous_secret_file"));
    let topics = topics(settings, &at("events"));
    let ca = settings.readable(&at("ca"));
    let secrets = [current?].into_iter().chain(previous).collect();
    Some(WebhookEndpoint { name: name?, url: url?, secrets, topics: topics?, ca })
}

/// A name for metrics and the log.
pub(super) fn name(settings: &mut Settings, key: &str) -> Option<String> {
    required(settings, key, "1 to 32 of a-z 0-9 - _", |text| {
        let plain = text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
        (plain && (1..=32).contains(&text.len())).then(|| text.to_owned())
    })
}

/// A URL, which no message repeats.
pub(super) fn address(settings: &mut Settings, key: &str) -> Option<SecretString> {
    let wrong = match settings.secret(key) {
        None => "is missing; it must be an https URL (http on this machine only)",
        Some(url) => match url.expose_secret().parse::<Uri>() {
            Ok(uri) if is_confidential(&uri) && !has_user(&uri) => return Some(url),
            _ => "must be an https URL (http on this machine only), without a user in it",
        },
    };
    settings.report(key, wrong);
    None
}

fn has_user(uri: &Uri) -> bool {
    uri.authority().is_some_and(|authority| authority.as_str().contains('@'))
}

/// The secret in a file, if one is named. Errors are reported.
fn secret(settings: &mut Settings, key: &str) -> Option<WebhookSecret> {
    let path = settings.path(key)?;
    let read = secret_file::read(&path)
        .map_err(|error| error.to_string())
        .and_then(|text| WebhookSecret::parse(&text).map_err(str::to_owned));
    read.map_err(|why| settings.report(key, format!("{} {why}", path.display()))).ok()
}

/// The subjects of an endpoint, at least one.
fn topics(settings: &mut Settings, key: &str) -> Option<Vec<Topic>> {
    let known = || Topic::ALL.map(Topic::as_str).join(", ");
    let items = settings.list(key);
    let mut topics: Vec<Topic> = Vec::new();
    for (text, _) in &items {
        match text.parse() {
            Ok(topic) if !topics.contains(&topic) => topics.push(topic),
            Ok(_) => settings.report(key, format!("names {text} twice")),
            Err(()) => settings.report(key, format!("each must be one of {}", known())),
        }
    }
    if items.is_empty() {
        settings.report(key, format!("is missing or empty: name at least one of {}", known()));
    }
    (!topics.is_empty() && topics.len() == items.len()).then_some(topics)
}
