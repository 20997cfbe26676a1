//! The server's configuration: all its sections, and the settings that belong to none: public URL, audience, data
//! folder, worker threads, rotation of signing keys, deadline of outcomes, and `rollouts.one_caller`.
//!
//! A configuration is refused completely, with all its errors: the file and line, variable or flag, the key, and what
//! would be accepted.

mod approvals;
mod custody;
mod database;
mod database_url;
mod document;
mod four_eyes;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod keys;
mod limits;
mod listener;
mod log;
mod operators;
mod policy;
mod problem;
mod service_link;
mod serving;
mod settings;
mod sinks;
mod sources;
mod spiffe;
#[cfg(test)]
mod tests;
mod token_service;
mod traces;
mod webhooks;

use std::{fmt, path::PathBuf, thread, time::Duration};

use countersign_app::{Approvals, FourEyes, OneCaller};
use countersign_core::spiffe::TrustDomain;

pub use self::{
    custody::Custody,
    database::Database,
    keys::KeyEncryption,
    limits::Limits,
    listener::Listener,
    log::{Log, LogFormat},
    operators::{CertificateHolder, OidcProvider, Operators},
    policy::PolicyDocument,
    problem::{Origin, Problem, Problems},
    serving::Serving,
    settings::Variable,
    sinks::{SinkEndpoint, SinkKind, SinkReceiver},
    sources::{Flag, Sources},
    token_service::TokenService,
    traces::{OtlpProtocol, Sampling, Traces},
    webhooks::WebhookEndpoint,
};
pub(crate) use self::{
    database_url::{place as database_place, without_password},
    keys::{decode as decode_key, encode as encode_key},
    operators::is_confidential,
};
use settings::Settings;

/// The form of a public URL, for messages.
const PUBLIC_URL: &str = "an http(s) URL without query and fragment, such as https://countersign.example.com";

/// The longest time that an allowed call may be without an outcome, in seconds: a week.
const LONGEST_OUTCOME_DEADLINE: u32 = 7 * 24 * 60 * 60;
/// The longest time that a signing key may sign, in hours: 90 days.
const LONGEST_ROTATION_HOURS: u32 = 90 * 24;

/// Everything that `countersign serve` needs to know.
#[derive(Debug)]
pub struct Config {
    /// Whether this is `--dev`: anonymous callers, a private Postgres, built-in documents.
    pub dev: bool,
    /// Whether this is `--dev --container`: callers on the machine around it are anonymous callers too.
    pub container: bool,
    /// Where and how to listen.
    pub listener: Listener,
    /// The settings around the port.
    pub serving: Serving,
    /// The URL by which this server is reached from outside, if the issuer is not a URL.
    pub public_url: Option<String>,
    /// The folder for the server's files.
    pub data_dir: PathBuf,
    /// The database.
    pub database: Database,
    /// The `aud` of every credential.
    pub audience: String,
    /// The trust domain of the instances' SPIFFE IDs. `None` if they have none.
    pub trust_domain: Option<TrustDomain>,
    /// Operators who authenticate without an API key.
    pub operators: Operators,
    /// Limits for all credentials.
    pub token_service: TokenService,
    /// The first policy, if the database has none.
    pub policy: Option<PolicyDocument>,
    /// The key that encrypts signing keys.
    pub key_encryption: KeyEncryption,
    /// How long a signing key signs.
    pub key_rotation: Duration,
    /// What to log, and how.
    pub log: Log,
    /// Where traces are exported to. `None` if they are off.
    pub traces: Option<Traces>,
    /// Limits on what callers can make the server do.
    pub limits: Limits,
    /// Endpoints that are informed at once.
    pub webhooks: Vec<WebhookEndpoint>,
    /// Where the custody log is forwarded to.
    pub sinks: Vec<SinkEndpoint>,
    /// How long persons have to answer an approval, and how many may wait for them.
    pub approvals: Approvals,
    /// How long an allowed call may be without an outcome.
    pub outcome_deadline: Duration,
    /// Whether one caller alone can fail the gate MISSING_SPONSOR.
    pub one_caller: OneCaller,
    /// Whether actions that need two persons are checked for that.
    pub four_eyes: FourEyes,
    /// The name of the custody log, and where its checkpoints are kept.
    pub custody: Custody,
    /// Threads that run requests.
    pub worker_threads: usize,
    /// Notices about the sources of the configuration, for the person who starts the server.
    pub notices: Vec<String>,
}

impl Config {
    /// Reads and checks a configuration.
    ///
    /// # Errors
    /// All errors in it.
    pub fn load(sources: &Sources) -> Result<Self, Problems> {
        Self::read(sources.layers()?, sources.dev, sources.container)
    }

    /// Reads and checks settings that are already combined.
    fn read(mut settings: Settings, dev: bool, container: bool) -> Result<Self, Problems> {
        let listener = Listener::read(&mut settings, dev, container);
        let public_url = settings.parse("public_url", PUBLIC_URL, |text| {
            countersign_transport::is_public_url(text).then(|| text.to_owned())
        });
        let serving = Serving::read(&mut settings);
        let database = Database::read(&mut settings, dev);
        let token_service = TokenService::named(&mut settings, dev);
        let policy = PolicyDocument::read(&mut settings, dev);
        let key_encryption = KeyEncryption::read(&mut settings, dev);
        let rotation_hours = settings.number("keys.rotation_hours", 1..=LONGEST_ROTATION_HOURS, 24);
        let audience = settings.parse("audience", "1 to 255 characters without blanks", |text| {
            ((1..=255).contains(&text.len()) && !text.contains(char::is_whitespace)).then(|| text.to_owned())
        });
        let issuer = token_service.as_ref().map(|service| service.issuer.as_str());
        let trust_domain = spiffe::trust_domain(&mut settings, issuer, dev);
        let operators = Operators::read(&mut settings);
        if operators.oidc.iter().any(|provider| Some(provider.issuer.as_str()) == issuer) {
            settings.report("operators.oidc", "must not name the issuer of this server's own credentials");
        }
        let log = Log::read(&mut settings);
        let traces = Traces::read(&mut settings);
        let limits = Limits::read(&mut settings);
        let approvals = approvals::read(&mut settings);
        let outcome_deadline = settings.number("outcomes.deadline_seconds", 5..=LONGEST_OUTCOME_DEADLINE, 60 * 60);
        let one_caller = settings.parse("rollouts.one_caller", "capped or counted", |text| match text {
            "capped" => Some(OneCaller::Capped),
            "counted" => Some(OneCaller::Counted),
            _ => None,
        });
        let four_eyes = four_eyes::read(&mut settings);
        let custody = Custody::read(&mut settings);
        let webhooks = WebhookEndpoint::read_all(&mut settings);
        let sinks = SinkEndpoint::read_all(&mut settings);
        let threads = thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
        let worker_threads = settings.number("worker_threads", 1..=1024, threads.min(1024)) as usize;
        let data_dir = settings.path("data_dir").unwrap_or_else(|| ".countersign".into());

        let notices = settings.take_notices();

        let config =
            listener.zip(token_service).zip(key_encryption).map(|((listener, token_service), key_encryption)| Self {
                dev,
                container,
                listener,
                serving,
                public_url,
                data_dir,
                database,
                audience: audience.unwrap_or_else(|| "countersign".to_owned()),
                trust_domain,
                operators,
                token_service,
                policy,
                key_encryption,
                key_rotation: Duration::from_hours(rotation_hours.into()),
                log,
                traces,
                limits,
                webhooks,
                sinks,
                approvals,
                outcome_deadline: Duration::from_secs(outcome_deadline.into()),
                one_caller: one_caller.unwrap_or_default(),
                four_eyes,
                custody,
                worker_threads,
                notices,
            });
        settings.finish(config)
    }
}

/// The server's description of itself at the start, without secrets.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let database = if self.database.urls.is_empty() { "private" } else { "as configured" };
        let scheme = if matches!(self.listener, Listener::Tls { .. }) { "https" } else { "http" };
        write!(f, "{scheme}://{}, database {database}, data in {}", self.listener.address(), self.data_dir.display())
    }
}
