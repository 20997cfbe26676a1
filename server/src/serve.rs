//! `countersign serve`: starts all parts in order, and stops them in reverse order. Why a port is taken, and what to
//! do; the files of the first keys; and which certificate files are watched for their end.

use std::{
    io::{self, ErrorKind, Write as _},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
};

use countersign_app::{
    App, CertificateFile, ConfiguredOperators, DevKeys, FirstAdmin, KeyEncryptionKeys, OidcIssuer, PolicyFile, Webhook,
};
use countersign_core::{
    clock::{Clock, Entropy, SystemClock, SystemEntropy},
    expiry::ExpiryKind,
    labels::DeclaredLabels,
};
use countersign_postgres::data_dir;
use countersign_store::{Store, StoreError, installation::MadeBy, lesser_role::Power};
use countersign_transport::{Container, MetricsPage, Options, ServeError, Server, TlsFiles};
use secrecy::{ExposeSecret as _, SecretBox};
use tokio::{runtime, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    checkpoint_file::CheckpointFile,
    config::{CertificateHolder, Config, KeyEncryption, Listener, Problems, WebhookEndpoint},
    container,
    database::{Database, DatabaseError},
    dev, https,
    identity_provider::Web,
    key_file, metrics, port_holder,
    sinks::{SinkError, sinks},
    start_screen, stop,
    webhook::Post,
};

/// Why a server did not start, or ended by itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeFailure {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Listen(#[from] ServeError),
    #[error("cannot listen on {address}: {why}")]
    Taken { address: SocketAddr, why: String },
    #[error("cannot start: {0}")]
    App(#[from] countersign_app::Error),
    #[error("cannot start with this policy file, which the database does not store yet:\n{0}")]
    Policy(Problems),
    #[error("cannot use the data folder {path}")]
    DataDir { path: String, source: io::Error },
    #[error("cannot use the folder of the log's checkpoints {path}")]
    Checkpoints { path: String, source: io::Error },
    #[error("cannot use the key-encryption key")]
    Key(#[source] io::Error),
    #[error("operators.oidc: the certificate authorities of {name} cannot be used")]
    Ca { name: String, source: io::Error },
    #[error("webhooks: the certificate authorities of {name} cannot be used")]
    WebhookCa { name: String, source: io::Error },
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error("cannot use the proxy that the environment names")]
    Proxy(#[source] io::Error),
    #[error("cannot start a runtime")]
    Runtime(#[source] io::Error),
    #[error("cannot collect metrics")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
    #[error("the private Postgres stopped unexpectedly ({0}); its last messages are in the log above")]
    PostgresEnded(String),
}

/// Stack of a thread in bytes: large enough that policies can be evaluated on it directly. Only the part that is used
/// becomes memory.
const THREAD_STACK: usize = 8 << 20;

/// Serves until a signal, or until something that the server needs has failed permanently.
pub(crate) fn run(config: &Config) -> Result<(), ServeFailure> {
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(config.worker_threads)
        .thread_stack_size(THREAD_STACK)
        .enable_all()
        .build()
        .map_err(ServeFailure::Runtime)?;
    let mut tasks = JoinSet::new();
    let started = runtime.block_on(async {
        let stop = stop::on_signal(&mut tasks).map_err(ServeFailure::Runtime)?;
        let metrics = metrics::start(&mut tasks)?;
        // The port first: that it is in use is the most likely error, and this is the fastest way to report it.
        let server = Server::bind(options(config, metrics)).await.map_err(|error| not_bound(config, error))?;
        Ok::<_, ServeFailure>((stop, server))
    });
    let (stop, server) = started?;

    let data_dir = data_dir::ensure(&config.data_dir)
        .map_err(|source| ServeFailure::DataDir { path: config.data_dir.display().to_string(), source })?;
    let mut database = Database::open(config)?;
    let outcome = runtime.block_on(serve(config, &data_dir, &mut database, server, stop));
    let closed = database.close();
    outcome.and(Ok(closed?))
}

/// Why the server cannot listen on an address, and what to do.
fn not_bound(config: &Config, error: ServeError) -> ServeFailure {
    let ServeError::Bind { address, source } = error else { return error.into() };
    let (port, ip) = (address.port(), address.ip());
    let set = if config.serving.health == Some(address) {
        "health.listen"
    } else {
        "--listen (or listen in the configuration)"
    };
    let why = match source.kind() {
        ErrorKind::AddrInUse => match port_holder::of(address) {
            Some(holder) => format!(
                "the port is taken by {holder}. Stop that process, or set {set} to another port, such as {ip}:0 for any free one",
            ),
            None => format!(
                "the port is taken by a process that this user may not see; as root, `ss -ltnp 'sport = :{port}'` says which. Stop \
                 it, or set {set} to another port, such as {ip}:0 for any free one"
            ),
        },
        ErrorKind::AddrNotAvailable => {
            format!("{ip} is not an address of this machine. Set {set} to one that is; 0.0.0.0 or [::] is all of them")
        }
        ErrorKind::PermissionDenied => {
            format!(
                "this user may not listen on port {port}. Set {set} to a port above 1023, or give the program \
                 CAP_NET_BIND_SERVICE"
            )
        }
        _ => return ServeError::Bind { address, source }.into(),
    };
    ServeFailure::Taken { address, why }
}

async fn serve(
    config: &Config,
    data_dir: &Path,
    database: &mut Database,
    server: Server,
    stop: CancellationToken,
) -> Result<(), ServeFailure> {
    let Some(started) = stop.run_until_cancelled(Box::pin(start(config, data_dir, database))).await else {
        return Ok(());
    };
    let (store, app, background) = started?;
    if let Err(error) = app.look_at_endings().await {
        tracing::warn!(%error, "cannot read what expires soon; a worker tries again");
    }
    announce(config, data_dir, &app, &server);

    let ended = database.exited();
    let mut postgres = None;
    let until = async {
        tokio::select! {
            () = stop.cancelled() => {}
            status = ended => postgres = Some(status),
        }
    };
    let outcome = server.run(app, until).await;
    background.stop().await;
    store.close().await;
    match postgres {
        Some(status) => Err(ServeFailure::PostgresEnded(status)),
        None => Ok(outcome?),
    }
}

/// Brings the database up to date and starts the use cases on it.
async fn start(
    config: &Config,
    data_dir: &Path,
    database: &mut Database,
) -> Result<(Store, App, countersign_app::Background), ServeFailure> {
    database.reach().await?;
    let store = Store::new(&database.options);
    let power = database.prepare(&store).await?;
    let mut claiming = store.writing().await?;
    let made_by = database.claim(&mut claiming).await?;
    claiming.done().await?;
    let (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
    let keys = key_encryption_keys(config, data_dir, &*entropy)?;
    let admin_file = data_dir.join("first-admin.key");
    let first_admin: FirstAdmin = Box::new(move |key| key_file::hand_over(&admin_file, key));
    let (app, background) =
        App::start(store.clone(), clock, entropy, app_config(config, data_dir, made_by, power)?, keys, &first_admin)
            .await?;
    if let Some(policy) = &config.policy {
        let file = PolicyFile { document: policy.text.clone(), path: policy.path.display().to_string() };
        let loaded = app.load_policy_file(&file).await.map_err(|error| match error {
            countersign_app::Error::PolicyInvalid(_) => ServeFailure::Policy(Problems(policy.faults.clone())),
            error => error.into(),
        });
        tracing::info!("{}", loaded?);
        if config.dev {
            let folder = data_dir.to_owned();
            let hand_over =
                move |operator: &str, key: &str| key_file::hand_over(&folder.join(format!("{operator}.key")), key);
            app.seed_dev(&DevKeys { hand_over: Box::new(hand_over) }, &policy.roles).await?;
        }
    }
    Ok((store, app, background))
}

/// The second place of the log's checkpoints.
pub(crate) fn checkpoint_file(config: &Config, data_dir: &Path) -> Result<CheckpointFile, ServeFailure> {
    let folder = config.custody.checkpoints.clone().unwrap_or_else(|| data_dir.join("checkpoints"));
    CheckpointFile::in_folder(&folder)
        .map_err(|source| ServeFailure::Checkpoints { path: folder.display().to_string(), source })
}

/// The configured key-encryption keys.
pub(crate) fn key_encryption_keys(
    config: &Config,
    data_dir: &Path,
    entropy: &dyn Entropy,
) -> Result<KeyEncryptionKeys, ServeFailure> {
    Ok(match &config.key_encryption {
        KeyEncryption::Key { primary, previous } => {
            let previous = previous.as_ref().map(SecretBox::expose_secret);
            KeyEncryptionKeys::new(primary.expose_secret(), previous)?
        }
        KeyEncryption::InDataFolder => {
            let key = dev::key_encryption_key(data_dir, entropy).map_err(ServeFailure::Key)?;
            KeyEncryptionKeys::new(key.expose_secret(), None)?
        }
    })
}

fn app_config(
    config: &Config,
    data_dir: &Path,
    made_by: MadeBy,
    power: Option<Power>,
) -> Result<countersign_app::Config, ServeFailure> {
    announce_proxy(config)?;
    Ok(countersign_app::Config {
        issuer: config.token_service.issuer.clone(),
        audience: config.audience.clone(),
        default_ttl: config.token_service.default_ttl_seconds,
        max_ttl: config.token_service.max_ttl_seconds,
        supported_tools: config.token_service.supported_tools.clone(),
        // For a trial, labels are limited only if the configuration declares some.
        supported_labels: match config.token_service.supported_labels.clone() {
            declared if config.dev && declared.is_empty() => DeclaredLabels::Any,
            declared => DeclaredLabels::These(declared),
        },
        trust_domain: config.trust_domain.clone(),
        dev: config.dev,
        made_by_dev: made_by == MadeBy::Dev,
        database_power: power,
        key_rotation: config.key_rotation,
        recorder_queue: config.limits.recorder_queue,
        refusals: config.limits.refusals,
        reads_at_a_time: config.limits.reads_at_a_time,
        rates: config.limits.rates,
        ceilings: config.limits.ceilings,
        operators: operators(config)?,
        webhooks: webhooks(config)?,
        sinks: sinks(config)?,
        certificates: certificates(config),
        approvals: config.approvals,
        outcome_deadline: config.outcome_deadline,
        one_caller: config.one_caller,
        four_eyes: config.four_eyes,
        log_origin: config.custody.origin.clone(),
        checkpoints: Arc::new(checkpoint_file(config, data_dir)?),
    })
}

/// Names the proxy that calls to identity providers, webhooks and sinks take, if there are any.
fn announce_proxy(config: &Config) -> Result<(), ServeFailure> {
    let no_sink = config.sinks.iter().all(|sink| sink.kind.receiver().is_none());
    if config.webhooks.is_empty() && config.operators.oidc.is_empty() && no_sink {
        return Ok(());
    }
    if let Some(proxy) = https::proxy_in_use().map_err(ServeFailure::Proxy)? {
        tracing::info!(%proxy, "identity providers, webhooks and sinks are called through the proxy that the environment names");
    }
    Ok(())
}

fn webhooks(config: &Config) -> Result<Vec<Webhook>, ServeFailure> {
    let webhook = |endpoint: &WebhookEndpoint| {
        let name = endpoint.name.clone();
        let post = Post::new(endpoint.url.clone(), endpoint.ca.as_deref())
            .map_err(|source| ServeFailure::WebhookCa { name: name.clone(), source })?;
        let (topics, secrets) = (endpoint.topics.clone(), endpoint.secrets.clone());
        Ok(Webhook { name, topics, secrets, carrier: Arc::new(post) })
    };
    config.webhooks.iter().map(webhook).collect()
}

/// All certificate files in the configuration. Other configured secrets do not expire: webhook secrets are random
/// bytes, and identity providers have no secret, because only the signatures of their tokens are verified.
fn certificates(config: &Config) -> Vec<CertificateFile> {
    let file = |kind, setting: String, path: &Path| CertificateFile { kind, setting, path: path.to_owned() };
    let mut files = Vec::new();
    if let Listener::Tls { certificate, client_ca, .. } = &config.listener {
        files.push(file(ExpiryKind::TlsCertificate, "tls.certificate".to_owned(), certificate));
        files.extend(client_ca.iter().map(|path| file(ExpiryKind::ClientCa, "tls.client_ca".to_owned(), path)));
    }
    let providers = config.operators.oidc.iter().map(|provider| ("operators.oidc", &provider.name, &provider.ca));
    let webhooks = config.webhooks.iter().map(|webhook| ("webhooks", &webhook.name, &webhook.ca));
    let sinks = config.sinks.iter().filter_map(|sink| Some(("sinks", &sink.name, &sink.kind.receiver()?.ca)));
    for (list, name, ca) in providers.chain(webhooks).chain(sinks) {
        files.extend(ca.iter().map(|path| file(ExpiryKind::TrustedCa, format!("{list} {name}"), path)));
    }
    let collector = config.traces.iter().filter_map(|traces| traces.ca.as_deref());
    files.extend(collector.map(|path| file(ExpiryKind::TrustedCa, "traces.ca".to_owned(), path)));
    files
}

fn operators(config: &Config) -> Result<ConfiguredOperators, ServeFailure> {
    let mut operators = ConfiguredOperators::default();
    for provider in &config.operators.oidc {
        let web = Web::new(provider.ca.as_deref());
        let web = web.map_err(|source| ServeFailure::Ca { name: provider.name.clone(), source })?;
        operators.oidc.push(OidcIssuer {
            name: provider.name.clone(),
            issuer: provider.issuer.clone(),
            audience: provider.audience.clone(),
            operator_claim: provider.operator_claim.clone(),
            role_claim: provider.role_claim.clone(),
            roles: provider.roles.clone(),
            required: provider.required.clone(),
            longest_life: provider.longest_life,
            authorized_parties: provider.authorized_parties.clone(),
            documents: Arc::new(web),
        });
    }
    let holder = |holder: &CertificateHolder| countersign_app::CertificateHolder {
        san: holder.san.clone(),
        operator_id: holder.operator_id.clone(),
        roles: holder.roles,
    };
    operators.certificates = config.operators.mtls.iter().map(holder).collect();
    Ok(operators)
}

fn options(config: &Config, metrics: MetricsPage) -> Options {
    let (tls, tls_terminated_in_front) = match &config.listener {
        Listener::Tls { certificate, private_key, client_ca, .. } => {
            let (certificate, private_key) = (certificate.clone(), private_key.clone());
            (Some(TlsFiles { certificate, private_key, client_ca: client_ca.clone() }), false)
        }
        Listener::Plaintext { behind_proxy, .. } => (None, *behind_proxy),
    };
    Options {
        listen: config.listener.address(),
        health: config.serving.health,
        tls,
        tls_terminated_in_front,
        container: config.container.then(|| Container { gateway: container::gateway() }),
        public_url: config.public_url.clone(),
        limits: countersign_transport::Limits {
            max_message_bytes: config.limits.max_message_bytes,
            max_concurrent_requests: config.limits.max_concurrent_requests,
            max_concurrent_streams: config.limits.max_concurrent_streams,
            request_timeout: config.limits.request_timeout,
            max_connections: config.limits.max_connections,
            max_connections_per_peer: config.limits.max_connections_per_peer,
            keep_alive: config.limits.keep_alive,
        },
        trusted_proxies: config.serving.trusted_proxies.clone(),
        shutdown_delay: config.serving.shutdown_delay,
        access_log: config.log.access,
        metrics: Some(metrics),
    }
}

fn announce(config: &Config, data_dir: &Path, app: &App, server: &Server) {
    let scheme = if matches!(config.listener, Listener::Tls { .. }) { "https" } else { "http" };
    if config.container {
        let gateway =
            container::gateway().map_or_else(|| "nowhere: there is no gateway".to_owned(), |ip| ip.to_string());
        tracing::warn!(%gateway, "calls without a credential are accepted from the gateway too, which stands for the machine around this container");
    }
    for warning in app.readiness().warnings.into_iter().chain(app.expiry_warnings()) {
        tracing::warn!("{warning}");
    }
    // On standard output, alone, for scripts: with port 0 nothing else shows the port. An error here has no
    // consequences.
    let _ = writeln!(io::stdout(), "countersign is ready on {scheme}://{}", server.local_addr());
    let mut address = server.local_addr();
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    start_screen::show(config, data_dir, address);
}
