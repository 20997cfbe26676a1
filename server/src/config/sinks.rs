//! Sinks, to which the custody log is forwarded.

use std::path::PathBuf;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use countersign_app::SinkStart;
use countersign_ledger::siem::Form;
use http::{HeaderName, HeaderValue, header};
use secrecy::{ExposeSecret as _, SecretString};

use super::{
    operators::required,
    settings::Settings,
    webhooks::{address, name},
};
use crate::secret_file;

/// Limit of the sinks, because each has a task on every server.
const MOST: usize = 16;
/// Limit of the headers of a collector.
const MOST_HEADERS: usize = 32;
/// Limit of a secret, in bytes.
const LONGEST_SECRET: usize = 4096;

const KINDS: [(&str, Kind); 5] = [
    ("elasticsearch", Kind::Elasticsearch),
    ("splunk_hec", Kind::SplunkHec),
    ("datadog", Kind::Datadog),
    ("otlp_logs", Kind::OtlpLogs),
    ("file", Kind::File),
];
const KIND_WORDS: &str = "elasticsearch, splunk_hec, datadog, otlp_logs or file";
const FORM_WORDS: &str = "countersign, ecs, ocsf or otel";
const STARTS: [(&str, SinkStart); 2] = [("first", SinkStart::First), ("next", SinkStart::Next)];
const YES_OR_NO: [(&str, bool); 2] = [("true", true), ("false", false)];

/// Settings that not every kind has, and which kinds do.
const ONLY: [(&str, &[Kind], &str); 6] = [
    ("url", &OVER_HTTP, "has no effect on a sink of kind file"),
    ("secret_file", &OVER_HTTP, "has no effect on a sink of kind file"),
    ("ca", &OVER_HTTP, "has no effect on a sink of kind file"),
    ("index", &[Kind::Elasticsearch, Kind::SplunkHec], "is for the kinds elasticsearch and splunk_hec only"),
    ("folder", &[Kind::File], "is for the kind file only"),
    ("acknowledge", &[Kind::SplunkHec], "is for the kind splunk_hec only"),
];
const OVER_HTTP: [Kind; 4] = [Kind::Elasticsearch, Kind::SplunkHec, Kind::Datadog, Kind::OtlpLogs];

/// Headers that describe the request itself.
const NOT_OURS_TO_SET: [HeaderName; 5] =
    [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::HOST, header::CONNECTION];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Elasticsearch,
    SplunkHec,
    Datadog,
    OtlpLogs,
    File,
}

/// A sink.
#[derive(Debug)]
pub struct SinkEndpoint {
    /// Its name in the table of cursors, in metrics and in the log.
    pub name: String,
    /// What it is.
    pub kind: SinkKind,
    /// The form in which events are sent.
    pub form: Form,
    /// Whether texts that people and agents wrote are sent along. They cannot be erased there.
    pub texts: bool,
    /// Where it begins.
    pub start: SinkStart,
}

/// What a sink is.
#[derive(Debug)]
pub enum SinkKind {
    /// Elasticsearch or OpenSearch.
    Elasticsearch {
        /// The cluster.
        receiver: SinkReceiver,
        /// The data stream or index.
        index: String,
    },
    /// Splunk's HTTP Event Collector.
    SplunkHec {
        /// The collector.
        receiver: SinkReceiver,
        /// The index. `None` for the token's own.
        index: Option<String>,
        /// Whether events count as taken only when they are indexed.
        acknowledge: bool,
    },
    /// Datadog's intake of logs.
    Datadog(SinkReceiver),
    /// A collector that speaks OTLP over HTTP.
    OtlpLogs(SinkReceiver),
    /// JSON lines in a folder.
    File {
        /// The folder.
        folder: PathBuf,
    },
}

impl SinkKind {
    /// The receiver, if the sink is reached over HTTP.
    #[must_use]
    pub fn receiver(&self) -> Option<&SinkReceiver> {
        match self {
            Self::Elasticsearch { receiver, .. }
            | Self::SplunkHec { receiver, .. }
            | Self::Datadog(receiver)
            | Self::OtlpLogs(receiver) => Some(receiver),
            Self::File { .. } => None,
        }
    }
}

/// A receiver over HTTP.
#[derive(Debug)]
pub struct SinkReceiver {
    /// Its URL. It is a secret, because services hide tokens in paths.
    pub url: SecretString,
    /// Headers that authenticate this server. They are secrets, and marked as such.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The secrets in them, which no message may repeat.
    pub secrets: Vec<SecretString>,
    /// Certificate authorities that are trusted for it besides the public ones, in PEM.
    pub ca: Option<PathBuf>,
}

/// What authenticates this server.
#[derive(Default)]
struct Credential {
    headers: Vec<(HeaderName, HeaderValue)>,
    secrets: Vec<SecretString>,
}

impl SinkEndpoint {
    /// All configured sinks.
    pub(super) fn read_all(settings: &mut Settings) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        for key in settings.items("sinks", MOST) {
            let Some(sink) = sink(settings, &key) else { continue };
            if all.iter().any(|other| other.name == sink.name) {
                settings.report(&format!("{key}.name"), "occurs twice: both would move the same cursor");
            }
            if let SinkKind::File { folder } = &sink.kind
                && all.iter().any(|other| matches!(&other.kind, SinkKind::File { folder: taken } if taken == folder))
            {
                settings.report(&format!("{key}.folder"), "is the folder of another sink");
            }
            all.push(sink);
        }
        all
    }
}

fn sink(settings: &mut Settings, key: &str) -> Option<SinkEndpoint> {
    let at = |name: &str| format!("{key}.{name}");
    let name = name(settings, &at("name"));
    let texts = settings.word(&at("texts"), &YES_OR_NO).unwrap_or_default();
    let start = settings.word(&at("start"), &STARTS).unwrap_or(SinkStart::First);
    let acknowledge = settings.word(&at("acknowledge"), &YES_OR_NO).unwrap_or_default();
    let kind = required(settings, &at("kind"), KIND_WORDS, |text| {
        KINDS.iter().find(|(word, _)| *word == text).map(|&(_, kind)| kind)
    })?;
    for (name, kinds, why) in ONLY {
        if settings.text(&at(name)).is_some() && !kinds.contains(&kind) {
            settings.report(&at(name), why);
        }
    }
    let form = form(settings, &at("form"), kind);
    let kind = match kind {
        Kind::Elasticsearch => {
            let receiver = receiver(settings, key, kind);
            let index = required(settings, &at("index"), INDEX, index);
            SinkKind::Elasticsearch { receiver: receiver?, index: index? }
        }
        Kind::SplunkHec => {
            let receiver = receiver(settings, key, kind);
            let index = settings.parse(&at("index"), SPLUNK_INDEX, splunk_index);
            SinkKind::SplunkHec { receiver: receiver?, index, acknowledge }
        }
        Kind::Datadog => SinkKind::Datadog(receiver(settings, key, kind)?),
        Kind::OtlpLogs => SinkKind::OtlpLogs(receiver(settings, key, kind)?),
        Kind::File => {
            let folder = settings.path(&at("folder"));
            if folder.is_none() {
                settings.report(&at("folder"), "is missing: it names the folder of the files");
            }
            SinkKind::File { folder: folder? }
        }
    };
    Some(SinkEndpoint { name: name?, kind, form: form?, texts, start })
}

/// The form, if the receiver can store it.
fn form(settings: &mut Settings, key: &str, kind: Kind) -> Option<Form> {
    let default = match kind {
        Kind::Elasticsearch => Form::Ecs,
        Kind::OtlpLogs => Form::Otel,
        Kind::SplunkHec | Kind::Datadog | Kind::File => Form::Countersign,
    };
    if settings.text(key).is_none() {
        return Some(default);
    }
    let form = settings.parse(key, FORM_WORDS, |text| text.parse().ok())?;
    if kind == Kind::OtlpLogs && form != Form::Otel {
        settings.report(key, "must be otel for the kind otlp_logs");
        return None;
    }
    Some(form)
}

fn receiver(settings: &mut Settings, key: &str, kind: Kind) -> Option<SinkReceiver> {
    let at = |name: &str| format!("{key}.{name}");
    let url = address(settings, &at("url")).filter(|url| {
        let plain = !url.expose_secret().contains(['?', '#']);
        if !plain {
            settings.report(&at("url"), "must be a URL without query and fragment");
        }
        plain
    });
    let credential = credential(settings, &at("secret_file"), kind);
    let ca = settings.readable(&at("ca"));
    let Credential { headers, secrets } = credential?;
    Some(SinkReceiver { url: url?, headers, secrets, ca })
}

/// The headers that the secret in a file makes. Errors are reported.
fn credential(settings: &mut Settings, key: &str, kind: Kind) -> Option<Credential> {
    let Some(path) = settings.path(key) else {
        let what = match kind {
            Kind::SplunkHec => "the collector's token",
            Kind::Datadog => "the API key",
            Kind::Elasticsearch | Kind::OtlpLogs | Kind::File => return Some(Credential::default()),
        };
        settings.report(key, format!("is missing: it names the 0600 file with {what}"));
        return None;
    };
    let read = secret_file::read(&path).map_err(|error| error.to_string()).and_then(|text| {
        let text = text.expose_secret();
        match kind {
            Kind::Elasticsearch => elasticsearch(text).ok_or("must contain an API key or user:password"),
            Kind::SplunkHec => {
                one(header::AUTHORIZATION, "Splunk ", text).ok_or("must contain the collector's token alone")
            }
            Kind::Datadog => {
                one(HeaderName::from_static("dd-api-key"), "", text).ok_or("must contain the API key alone")
            }
            Kind::OtlpLogs => headers(text).ok_or("must contain headers, each on its line as `name: value`"),
            Kind::File => Ok(Credential::default()),
        }
        .map_err(str::to_owned)
    });
    read.map_err(|why| settings.report(key, format!("{} {why}", path.display()))).ok()
}

fn elasticsearch(text: &str) -> Option<Credential> {
    let Some((_, password)) = text.split_once(':') else { return one(header::AUTHORIZATION, "ApiKey ", text) };
    if text.contains(char::is_control) {
        return None;
    }
    let mut credential = one(header::AUTHORIZATION, "Basic ", &BASE64_STANDARD.encode(text))?;
    credential.secrets.extend([SecretString::from(text), SecretString::from(password)]);
    Some(credential)
}

/// One header with a secret that is one word.
fn one(name: HeaderName, before: &str, secret: &str) -> Option<Credential> {
    let is_word = (1..=LONGEST_SECRET).contains(&secret.len()) && secret.bytes().all(|byte| byte.is_ascii_graphic());
    let mut value = HeaderValue::from_str(&format!("{before}{secret}")).ok().filter(|_| is_word)?;
    value.set_sensitive(true);
    Some(Credential { headers: vec![(name, value)], secrets: vec![secret.into()] })
}

/// `name: value` on each line.
fn headers(text: &str) -> Option<Credential> {
    let mut credential = Credential::default();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let (name, value) = line.split_once(':')?;
        let (name, text) = (name.trim().parse::<HeaderName>().ok()?, value.trim());
        let mut value = HeaderValue::from_str(text).ok().filter(|_| !text.is_empty())?;
        value.set_sensitive(true);
        if NOT_OURS_TO_SET.contains(&name) || credential.headers.len() == MOST_HEADERS {
            return None;
        }
        credential.headers.push((name, value));
        // Also without a scheme in front, such as Bearer.
        credential.secrets.push(text.into());
        credential.secrets.extend(text.split_once(' ').map(|(_, secret)| SecretString::from(secret.trim())));
    }
    Some(credential)
}

const INDEX: &str = "a data stream or index: 1 to 255 of a-z 0-9 - _ . and first a letter or digit";

fn index(text: &str) -> Option<String> {
    let mut bytes = text.bytes();
    let begins = bytes.next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let plain = bytes.all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.'));
    (begins && plain && text.len() <= 255).then(|| text.to_owned())
}

const SPLUNK_INDEX: &str = "an index: 1 to 80 of a-z 0-9 - _ and first a letter or digit";

fn splunk_index(text: &str) -> Option<String> {
    index(text).filter(|text| text.len() <= 80 && !text.contains('.'))
}
