//! The port: bound first, so that its address is known, then served until the server is told to stop
//! (`shutdown_delay`). The limits by default and their bounds, where plaintext is refused, and the base URL that the
//! server publishes.

mod accept;
mod connections;
mod deliveries;
pub(crate) mod dispatch;
mod greeting;
mod guarded;
mod network;
#[cfg(test)]
mod tests;
mod unread;

use std::{
    future::Future,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use countersign_app::App;
use tokio::{net::TcpListener, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use self::connections::ConnectionLimits;

use crate::{
    grpc::{self, health, reflection::reflected},
    http::{health as public, issue, public_url::PublicUrl},
    integrations::authzen,
    middleware::{Bounds, Stack},
    oauth,
    tls::Tls,
};

pub use self::network::{Network, NoNetwork};
pub use crate::{
    http::health::MetricsPage,
    tls::{TlsError, TlsFiles},
};

/// Size limit of a request that the gRPC library decodes.
const MAX_MESSAGE_BYTES: usize = 4 * 1024 * 1024;

/// How and where to serve.
#[derive(Debug, Clone)]
pub struct Options {
    /// The address. Port 0 means any free port; [`Server::local_addr`] says which.
    pub listen: SocketAddr,
    /// A second address, without TLS, for health and metrics only. `None` if the main port alone serves them.
    pub health: Option<SocketAddr>,
    /// The certificate. `None` for plaintext, which only a loopback address may use.
    pub tls: Option<TlsFiles>,
    /// The operator states that a proxy in front terminates TLS, so that plaintext is permitted on other addresses.
    pub tls_terminated_in_front: bool,
    /// Whether this is a trial in a container, whose port on any address may be plaintext.
    pub container: Option<Container>,
    /// The URL by which this server is reached from outside, if its issuer is not a URL.
    pub public_url: Option<String>,
    /// The limits.
    pub limits: Limits,
    /// Addresses of proxies in front, whose connections do not count for one peer.
    pub trusted_proxies: Vec<Network>,
    /// How long the port stays open, not ready, once the server is told to stop.
    pub shutdown_delay: Duration,
    /// Whether the log has a line for each call.
    pub access_log: bool,
    /// `/metrics`, if metrics are collected.
    pub metrics: Option<MetricsPage>,
}

/// The surroundings of a trial in a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Container {
    /// The address from which programs on the machine around it call. `None` if they cannot.
    pub gateway: Option<Ipv4Addr>,
}

/// How much at once, and for how long. Anything above a limit is refused, never queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest request, bytes; at most 4 MiB.
    pub max_message_bytes: usize,
    /// Calls at a time, over all connections.
    pub max_concurrent_requests: usize,
    /// Streams (the Watch methods) at a time, over all connections; they do not count as calls.
    pub max_concurrent_streams: usize,
    /// Longest call. A caller's timeout may be shorter, never longer.
    pub request_timeout: Duration,
    /// Connections at a time.
    pub max_connections: usize,
    /// Connections of one address at a time.
    pub max_connections_per_peer: usize,
    /// How long an HTTP/1.1 connection may be idle between two requests.
    pub keep_alive: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_message_bytes: 1024 * 1024,
            max_concurrent_requests: 1024,
            max_concurrent_streams: 1024,
            request_timeout: Duration::from_secs(10),
            max_connections: 4096,
            max_connections_per_peer: 1024,
            keep_alive: Duration::from_secs(75),
        }
    }
}

/// Why the port cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is in use, or not an address of this machine.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// The requested address.
        address: SocketAddr,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Plaintext would leave this machine.
    #[error(
        "{0} is not a loopback address, and there is no TLS certificate: name one, listen on 127.0.0.1, or say in the \
         configuration that something in front terminates TLS"
    )]
    Plaintext(SocketAddr),
    /// The certificate does not load.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A limit with an invalid value.
    #[error("the limit {name} {why}")]
    Limit {
        /// The field of [`Limits`].
        name: &'static str,
        /// What it must be.
        why: &'static str,
    },
    /// The contract's descriptor does not load, which is an error of the build.
    #[error("reflection cannot be set up: {0}")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// A bound port that does not answer yet. Connections that arrive meanwhile wait.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    health: Option<TcpListener>,
    tls: Option<Tls>,
    options: Options,
}

impl Server {
    /// Takes the port and loads the certificate.
    pub async fn bind(options: Options) -> Result<Self, ServeError> {
        check(&options)?;
        let tls = options.tls.clone().map(Tls::load).transpose()?;
        let listener = listen(options.listen).await?;
        let health = match options.health {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let failed = |source| ServeError::Bind { address: options.listen, source };
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, health, tls, options })
    }

    /// The address on which it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves `app` until `shutdown`. Then it reports not ready, and continues for the configured delay; after that it
    /// accepts nothing new and finishes what it accepted, within at most 30 s.
    pub async fn run(self, app: App, shutdown: impl Future<Output = ()>) -> Result<(), ServeError> {
        let Self { listener, address, health: health_listener, tls, options } = self;
        let (stop, leaving) = (CancellationToken::new(), CancellationToken::new());
        let stack = Stack::new(Arc::new(app.clone()), bounds(&options.limits), stop.clone());
        let stack = Arc::new(stack.with_access_log(options.access_log));

        let (health, follow_health) = health::service(app.fit(), leaving.clone()).await;
        let services = reflected(grpc::routes(app.clone()).add_service(health.clone()))?;
        let https = options.tls.is_some() || options.tls_terminated_in_front;
        let oauth = oauth::router(app.clone(), &stack.wrap(oauth::service(app.clone())), https);
        let base = base(&options, app.issuer(), address);
        let authzen = authzen::router(&stack.wrap(authzen::service(app.clone())), base);
        let plain = public::router(app.clone(), options.metrics.clone()).merge(oauth).merge(authzen);
        let issuing = issue::service(app.clone());
        let port = dispatch::Dispatcher::new(&stack, services, issuing, plain);

        // Aborted when this function returns.
        let mut followers = JoinSet::new();
        followers.spawn(follow_health);
        if let Some(tls) = tls.clone() {
            followers.spawn(tls.follow());
        }
        let accepting = |listener, tls, port, stop| {
            let (most, keep_alive) = (most(&options), options.limits.keep_alive);
            let host = options.container.and_then(|container| container.gateway).map(IpAddr::V4);
            accept::Acceptor { listener, tls, port, most, keep_alive, host, stop }
        };
        if let Some(listener) = health_listener {
            // Kept to the end of this function, so that health checks are told "not ready" as long as the server runs.
            let port =
                dispatch::Dispatcher::of_health(&stack, health, public::health(app.clone(), options.metrics.clone()));
            followers.spawn(accepting(listener, None, port, CancellationToken::new()).serve(std::future::pending()));
        }
        let shutdown = async {
            shutdown.await;
            app.stop_serving();
            leaving.cancel();
            sleep(options.shutdown_delay).await;
        };
        accepting(listener, tls, port, stop).serve(shutdown).await;
        Ok(())
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address).await.map_err(|source| ServeError::Bind { address, source })
}

fn most(options: &Options) -> ConnectionLimits {
    ConnectionLimits {
        all: options.limits.max_connections,
        of_peer: options.limits.max_connections_per_peer,
        trusted: options.trusted_proxies.clone(),
    }
}

/// The base URL of the endpoints that this server publishes: as configured, or if only this machine can reach it, the
/// address on which it listens. Never taken from a request.
fn base(options: &Options, issuer: &str, address: SocketAddr) -> Option<PublicUrl> {
    let configured = options.public_url.as_deref().or(Some(issuer)).and_then(PublicUrl::parse);
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    let local =
        || address.ip().to_canonical().is_loopback().then(|| PublicUrl::parse(&format!("{scheme}://{address}")));
    configured.or_else(|| local().flatten())
}

/// Whether `text` can be a server's `public_url`.
#[must_use]
pub fn is_public_url(text: &str) -> bool {
    PublicUrl::parse(text).is_some()
}

fn bounds(limits: &Limits) -> Bounds {
    Bounds {
        message_bytes: limits.max_message_bytes,
        requests: limits.max_concurrent_requests,
        streams: limits.max_concurrent_streams,
        timeout: limits.request_timeout,
    }
}

fn check(options: &Options) -> Result<(), ServeError> {
    let limits = &options.limits;
    let counts = [
        ("max_message_bytes", limits.max_message_bytes),
        ("max_concurrent_requests", limits.max_concurrent_requests),
        ("max_concurrent_streams", limits.max_concurrent_streams),
        ("max_connections", limits.max_connections),
        ("max_connections_per_peer", limits.max_connections_per_peer),
    ];
    if let Some((name, _)) = counts.into_iter().find(|(_, count)| *count == 0) {
        return Err(ServeError::Limit { name, why: "must be above 0" });
    }
    if limits.max_message_bytes > MAX_MESSAGE_BYTES {
        return Err(ServeError::Limit { name: "max_message_bytes", why: "must be at most 4 MiB" });
    }
    if limits.request_timeout.is_zero() || limits.request_timeout > Duration::from_hours(1) {
        return Err(ServeError::Limit { name: "request_timeout", why: "must be above 0, and at most an hour" });
    }
    let plaintext = options.tls.is_none() && !options.tls_terminated_in_front && options.container.is_none();
    if plaintext && !options.listen.ip().to_canonical().is_loopback() {
        return Err(ServeError::Plaintext(options.listen));
    }
    Ok(())
}
