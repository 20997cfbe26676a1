//! The export of traces: the standard variables of OpenTelemetry, overridden by the section `traces`: endpoint,
//! protocol, headers, timeout, sampling and requests per second. Headers are sent over https only, or on this machine.

use std::{num::NonZeroU32, path::PathBuf, time::Duration};

use http::{HeaderName, HeaderValue, Uri};
use percent_encoding::percent_decode_str;
use secrecy::ExposeSecret as _;
use tracing::Level;

use super::{
    operators::is_confidential,
    problem::Origin,
    settings::{Settings, Variable},
};
use crate::secret_file;

/// Variables of OpenTelemetry and the settings that they are; a later one overrides an earlier one. A key that is not in
/// the file's list can only be set by a variable.
const STANDARD: [(&str, &str); 19] = [
    ("OTEL_SDK_DISABLED", DISABLED),
    ("OTEL_TRACES_EXPORTER", EXPORTER),
    (BASE_ENDPOINT, "traces.endpoint"),
    (TRACES_ENDPOINT, "traces.endpoint"),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "traces.protocol"),
    ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "traces.protocol"),
    ("OTEL_EXPORTER_OTLP_HEADERS", HEADERS),
    ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", HEADERS),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "traces.timeout_ms"),
    ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "traces.timeout_ms"),
    ("OTEL_EXPORTER_OTLP_CERTIFICATE", "traces.ca"),
    ("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE", "traces.ca"),
    ("OTEL_EXPORTER_OTLP_COMPRESSION", COMPRESSION),
    ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", COMPRESSION),
    ("OTEL_EXPORTER_OTLP_CLIENT_KEY", CLIENT_KEY),
    ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", CLIENT_KEY),
    ("OTEL_SERVICE_NAME", "traces.service_name"),
    ("OTEL_RESOURCE_ATTRIBUTES", ATTRIBUTES),
    ("OTEL_TRACES_SAMPLER", SAMPLER),
];
const BASE_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const SAMPLER_ARG: (&str, &str) = ("OTEL_TRACES_SAMPLER_ARG", "traces.sampler_arg");
const DISABLED: &str = "traces.disabled";
const EXPORTER: &str = "traces.exporter";
const HEADERS: &str = "traces.headers";
const COMPRESSION: &str = "traces.compression";
const CLIENT_KEY: &str = "traces.client_key";
const ATTRIBUTES: &str = "traces.resource_attributes";
const SAMPLER: &str = "traces.sampler";

/// Where a collector takes traces over HTTP, below its address.
const TRACES_PATH: &str = "/v1/traces";
/// The longest time for one message, in milliseconds: the library's default is 10 s.
const LONGEST_TIMEOUT_MS: u32 = 60_000;
/// Most headers, and most attributes of the resource.
const MOST_PAIRS: usize = 32;
/// The longest name or value of a pair, in bytes.
const LONGEST_PAIR: usize = 4096;

/// Where traces are exported to, and which.
#[derive(Debug)]
pub struct Traces {
    /// The URL of the collector; over HTTP, that of its traces.
    pub endpoint: String,
    /// How the collector is spoken to.
    pub protocol: OtlpProtocol,
    /// Headers of each message. They are secrets, and marked as such.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Headers of the environment that are not sent, because others are configured.
    pub overridden_headers: Vec<HeaderName>,
    /// How long one message may take.
    pub timeout: Duration,
    /// Certificate authorities that are trusted for the collector besides the public ones, in PEM.
    pub ca: Option<PathBuf>,
    /// The name of this service.
    pub service_name: String,
    /// What else is said of this server.
    pub resource: Vec<(String, String)>,
    /// Which requests are traced.
    pub sampling: Sampling,
    /// How many requests a second are traced at most: of those that their callers trace, and of all others.
    pub requests_per_second: NonZeroU32,
    /// `INFO` for requests and batches, `DEBUG` for changes and statements too.
    pub level: Level,
}

/// The protocol of the export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// gRPC.
    Grpc,
    /// Protobuf over HTTP.
    Http,
}

/// Which requests are traced.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Whether a request goes with its caller, if the caller says.
    pub parent_based: bool,
    /// The share of all other requests.
    pub ratio: f64,
}

/// OpenTelemetry's variables as settings.
pub(super) fn standard_variables(variables: &[Variable]) -> Settings {
    let mut settings = Settings::default();
    for (name, key) in STANDARD.into_iter().chain([SAMPLER_ARG]) {
        let set = variables.iter().find(|variable| variable.name == name && !variable.value.is_empty());
        if let Some(Variable { value, .. }) = set {
            settings.set(key, value, Origin::Variable(name.to_owned()));
        }
    }
    settings
}

impl Traces {
    /// The settings, if traces are on. Errors are reported.
    pub(super) fn read(settings: &mut Settings) -> Option<Self> {
        let disabled = settings.word(DISABLED, &[("true", true), ("false", false)]).unwrap_or_default();
        let exporter = settings.word(EXPORTER, &[("otlp", true), ("none", false)]);
        let protocol = settings
            .word("traces.protocol", &[("http/protobuf", OtlpProtocol::Http), ("grpc", OtlpProtocol::Grpc)])
            .unwrap_or(OtlpProtocol::Http);
        let endpoint = endpoint(settings, protocol);
        let (headers, overridden_headers) = headers(settings);
        let timeout = settings.number("traces.timeout_ms", 1..=LONGEST_TIMEOUT_MS, 10_000);
        let ca = settings.readable("traces.ca");
        let service_name = settings.parse("traces.service_name", "1 to 255 characters", |text| {
            (1..=255).contains(&text.chars().count()).then(|| text.to_owned())
        });
        let resource = pairs(settings, ATTRIBUTES);
        let sampling = sampling(settings);
        let per_second = settings.number("traces.requests_per_second", 1..=1_000_000, 100);
        let level = settings.word("traces.level", &[("info", Level::INFO), ("debug", Level::DEBUG)]);
        for (key, what) in [(COMPRESSION, "compression"), (CLIENT_KEY, "a client certificate")] {
            if settings.text(key).is_some_and(|text| text != "none") {
                settings.report(key, format!("must not be set: this server exports traces without {what}"));
            }
        }

        let by_file = settings.text("traces.endpoint").is_some()
            && !matches!(settings.origin("traces.endpoint"), Origin::Variable(name) if name.starts_with("OTEL_"));
        let wanted = by_file || exporter.unwrap_or_else(|| settings.text("traces.endpoint").is_some());
        if disabled && by_file {
            settings.notice("OTEL_SDK_DISABLED is true: traces are not exported, although traces.endpoint is set");
        }
        if !wanted || disabled {
            return None;
        }
        let endpoint = endpoint?;
        let confidential = endpoint.parse().is_ok_and(|uri: Uri| is_confidential(&uri));
        if !headers.is_empty() && !confidential {
            let message = "must be an https URL (http on this machine only) if headers are sent, which are secrets";
            settings.report("traces.endpoint", message);
        }
        let named = resource.iter().find(|(name, _)| name == "service.name").map(|(_, value)| value.clone());
        Some(Self {
            endpoint,
            protocol,
            headers,
            overridden_headers,
            timeout: Duration::from_millis(timeout.into()),
            ca,
            service_name: service_name.or(named).unwrap_or_else(|| "countersign".to_owned()),
            resource,
            sampling,
            requests_per_second: NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN),
            level: level.unwrap_or(Level::INFO),
        })
    }
}

/// The URL of the collector. Without a setting, the standard port on this machine.
fn endpoint(settings: &mut Settings, protocol: OtlpProtocol) -> Option<String> {
    let as_it_is = matches!(settings.origin("traces.endpoint"), Origin::Variable(name) if name == TRACES_ENDPOINT);
    let text = match settings.secret("traces.endpoint") {
        Some(text) => text.expose_secret().to_owned(),
        None if protocol == OtlpProtocol::Grpc => "http://localhost:4317".to_owned(),
        None => "http://localhost:4318".to_owned(),
    };
    let wanted = "must be an http(s) URL without user and query, such as https://collector.example.com:4318";
    let Some(uri) = text.parse::<Uri>().ok().filter(is_plain) else {
        settings.report("traces.endpoint", wanted);
        return None;
    };
    if protocol == OtlpProtocol::Grpc || as_it_is || uri.path().ends_with(TRACES_PATH) {
        return Some(text);
    }
    Some(format!("{}{TRACES_PATH}", text.trim_end_matches('/')))
}

fn is_plain(uri: &Uri) -> bool {
    let user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
    matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() && !user && uri.query().is_none()
}

/// The headers of each message, and those of the environment that are not sent.
fn headers(settings: &mut Settings) -> (Vec<(HeaderName, HeaderValue)>, Vec<HeaderName>) {
    let standard = as_headers(settings, HEADERS, None);
    let Some(path) = settings.path("traces.headers_file") else { return (standard, Vec::new()) };
    let text = match secret_file::read(&path) {
        Ok(text) => text.expose_secret().trim().replace('\n', ","),
        Err(error) => {
            settings.report("traces.headers_file", format!("{} {error}", path.display()));
            return (Vec::new(), Vec::new());
        }
    };
    let own = as_headers(settings, "traces.headers_file", Some(text));
    (own, standard.into_iter().map(|(name, _)| name).collect())
}

/// The pairs of `text`, or else of the setting, as headers. A value is never repeated in a message.
fn as_headers(settings: &mut Settings, key: &str, text: Option<String>) -> Vec<(HeaderName, HeaderValue)> {
    let pairs = match text {
        Some(text) => listed(settings, key, &text),
        None => pairs(settings, key),
    };
    let header = |(name, value): (String, String)| {
        let name: HeaderName = name.parse().ok()?;
        let mut value: HeaderValue = value.parse().ok()?;
        value.set_sensitive(true);
        Some((name, value))
    };
    let many = pairs.len();
    let headers: Vec<_> = pairs.into_iter().filter_map(header).collect();
    if headers.len() < many {
        settings.report(key, "must be names and values of HTTP headers");
    }
    headers
}

/// The pairs of a setting.
fn pairs(settings: &mut Settings, key: &str) -> Vec<(String, String)> {
    let text = settings.text(key).unwrap_or_default();
    listed(settings, key, &text)
}

/// `a=1,b=two%20words` as pairs.
fn listed(settings: &mut Settings, key: &str, text: &str) -> Vec<(String, String)> {
    let pair = |text: &str| {
        let (name, value) = text.split_once('=')?;
        let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
        let fits = (1..=LONGEST_PAIR).contains(&name.trim().len()) && value.len() <= LONGEST_PAIR;
        fits.then(|| (name.trim().to_owned(), value.into_owned()))
    };
    let items: Vec<_> = text.split(',').filter(|item| !item.trim().is_empty()).collect();
    let pairs: Vec<_> = items.iter().filter_map(|item| pair(item)).collect();
    if pairs.len() < items.len() || items.len() > MOST_PAIRS {
        let message =
            format!("must be at most {MOST_PAIRS} pairs such as name=value,other=value, values in percent-encoding");
        settings.report(key, message);
    }
    pairs
}

/// Which requests are traced: by the standard variables, or by `traces.sample_ratio`.
fn sampling(settings: &mut Settings) -> Sampling {
    const RATIO: &str = "a number from 0 to 1, in quotes, such as \"0.05\"";
    let ratio = |text: &str| text.parse().ok().filter(|ratio: &f64| (0.0..=1.0).contains(ratio));
    let standard = settings.word(
        SAMPLER,
        &[
            ("parentbased_always_on", (true, Some(1.0))),
            ("parentbased_always_off", (true, Some(0.0))),
            ("parentbased_traceidratio", (true, None)),
            ("always_on", (false, Some(1.0))),
            ("always_off", (false, Some(0.0))),
            ("traceidratio", (false, None)),
        ],
    );
    let (parent_based, fixed) = standard.unwrap_or((true, Some(1.0)));
    let argument = fixed.is_none().then(|| settings.parse(SAMPLER_ARG.1, RATIO, ratio)).flatten();
    match settings.parse("traces.sample_ratio", RATIO, ratio) {
        Some(ratio) => Sampling { parent_based: true, ratio },
        None => Sampling { parent_based, ratio: fixed.or(argument).unwrap_or(1.0) },
    }
}
