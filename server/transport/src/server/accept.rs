//! Accepts connections within the limit, watches each, and finishes all of them before the server stops (`DRAIN`).
//! Limits of a connection: the TLS handshake, pings while it is idle, streams at a time, and the size of a request's
//! head.

use std::{
    convert::Infallible,
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use axum::{body::Body, response::Response};
use http::{Method, Version};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service;

use super::{
    connections::{ConnectionLimits, Connections},
    deliveries::{Deliveries, PUBLIC},
    dispatch::{Dispatcher, too_many_answers},
    greeting::{self, Named},
    guarded::{GREETING, Guarded},
    unread::{self, Shared},
};
use crate::{
    middleware::{ConnectionActivity, FromHost, Peer, PeerCertificate},
    tls::{Tls, certificate},
};

/// How long accepted requests may take to finish once the server stops.
const DRAIN: Duration = Duration::from_secs(30);
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// An idle HTTP/2 connection is pinged at this interval, and has this long to answer.
const PING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));
/// Streams at a time on one connection.
const MAX_STREAMS: u32 = 256;
/// Size limit of a request's head in bytes; a credential of 8 KiB fits easily.
const MAX_HEAD: u32 = 32 * 1024;
/// The pause before the next accept if the process has no more file descriptors.
const OUT_OF_FILES: Duration = Duration::from_millis(100);

/// A port and the service behind it.
pub(super) struct Acceptor {
    pub(super) listener: TcpListener,
    pub(super) tls: Option<Tls>,
    pub(super) port: Dispatcher,
    pub(super) most: ConnectionLimits,
    /// How long an HTTP/1.1 connection may be idle between two requests.
    pub(super) keep_alive: Duration,
    /// The address from which the programs of the machine around a container call.
    pub(super) host: Option<IpAddr>,
    /// Cancelled when the port closes.
    pub(super) stop: CancellationToken,
}

impl Acceptor {
    /// Serves until `shutdown` completes; then closes the port, and finishes what was accepted within [`DRAIN`].
    pub(super) async fn serve(self, shutdown: impl Future<Output = ()>) {
        let connections = TaskTracker::new();
        let abort = CancellationToken::new();
        tokio::select! {
            () = shutdown => {}
            () = self.accept(&connections, &abort) => {}
        }
        self.stop.cancel();
        drop(self.listener);
        connections.close();
        if timeout(DRAIN, connections.wait()).await.is_err() {
            tracing::warn!(connections = connections.len(), "some requests did not finish in time and are cut off");
            abort.cancel();
            connections.wait().await;
        }
    }

    async fn accept(&self, connections: &TaskTracker, abort: &CancellationToken) {
        let open = Connections::new(self.most.clone());
        let http = http(self.keep_alive);
        let named = Arc::<Named>::default();
        loop {
            let (stream, peer) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(OUT_OF_FILES).await;
                    continue;
                }
            };
            let Some(member) = open.enter(peer.ip()) else {
                metrics::counter!("countersign_connections_refused_total").increment(1);
                continue;
            };
            let connection = Connection {
                peer,
                http: http.clone(),
                keep_alive: self.keep_alive,
                from_host: self.host == Some(peer.ip().to_canonical()),
                tls: self.tls.clone(),
                port: self.port.clone(),
                stop: self.stop.clone(),
                named: named.clone(),
            };
            let abort = abort.clone();
            connections.spawn(async move {
                tokio::select! {
                    () = abort.cancelled() => {}
                    () = member.activity.cut_off() => {}
                    () = connection.serve(stream, &member.activity) => {}
                }
            });
        }
    }
}

/// HTTP/1.1 and HTTP/2, told apart by the first bytes, with limits against slow or greedy peers.
///
/// HTTP/1.1's timeout for a head begins with the wait for it; [`Guarded`] limits the time of a head that has begun.
fn http(keep_alive: Duration) -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(keep_alive).max_buf_size(MAX_HEAD as usize);
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD)
        .keep_alive_interval(PING.0)
        .keep_alive_timeout(PING.1);
    http
}

struct Connection {
    peer: SocketAddr,
    http: Builder<TokioExecutor>,
    keep_alive: Duration,
    from_host: bool,
    tls: Option<Tls>,
    port: Dispatcher,
    stop: CancellationToken,
    named: Arc<Named>,
}

impl Connection {
    async fn serve(self, stream: TcpStream, activity: &Arc<ConnectionActivity>) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY cannot be set");
        }
        let opened = Instant::now();
        let greeted = tokio::select! {
            greeted = timeout(GREETING, greeting::mistaken(&stream, self.tls.is_some())) => greeted,
            () = self.stop.cancelled() => return,
            () = activity.replaced() => return,
        };
        match greeted {
            Ok(Ok(None)) => {}
            Ok(Ok(Some(mistaken))) => {
                self.named.log(self.peer, mistaken);
                return greeting::refuse(stream, mistaken).await;
            }
            Ok(Err(error)) => return tracing::debug!(peer = %self.peer, %error, "a connection broke before it began"),
            Err(_) => return tracing::debug!(peer = %self.peer, "a connection is closed: its peer sent nothing"),
        }
        let Some(tls) = &self.tls else { return self.http(stream, None, opened, activity).await };
        match timeout(HANDSHAKE, tls.acceptor().accept(stream)).await {
            Ok(Ok(stream)) => match certificate::of_peer(stream.get_ref().1) {
                Ok(certificate) => {
                    self.http(stream, certificate.map(Arc::new).map(PeerCertificate), Instant::now(), activity).await;
                }
                Err(error) => tracing::debug!(peer = %self.peer, %error, "a client certificate cannot be read"),
            },
            Ok(Err(error)) => tracing::debug!(peer = %self.peer, %error, "the TLS handshake failed"),
            Err(_) => tracing::debug!(peer = %self.peer, "the TLS handshake took too long"),
        }
    }

    async fn http(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        certificate: Option<PeerCertificate>,
        opened: Instant,
        activity: &Arc<ConnectionActivity>,
    ) {
        let (peer, deliveries) = (Peer(self.peer.ip()), Arc::new(Deliveries::default()));
        let service = hyper::service::service_fn(|mut request: http::Request<Incoming>| {
            request.extensions_mut().insert(peer);
            request.extensions_mut().insert(activity.clone());
            if self.from_host {
                request.extensions_mut().insert(FromHost);
            }
            if let Some(certificate) = &certificate {
                request.extensions_mut().insert(certificate.clone());
            }
            answer(self.port.clone(), deliveries.clone(), request)
        });
        let stream = TokioIo::new(Guarded::new(stream, deliveries.clone(), self.keep_alive, opened));
        let mut connection = pin!(self.http.serve_connection(stream, service));
        let served = async {
            let leaving = async {
                tokio::select! {
                    () = self.stop.cancelled() => {}
                    () = activity.replaced() => {}
                }
            };
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = leaving => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        };
        tokio::select! {
            ended = served => if let Err(error) = ended {
                tracing::debug!(peer = %self.peer, %error, "a connection broke");
            },
            () = deliveries.stalled() => {
                metrics::counter!("countersign_connections_stalled_total").increment(1);
                tracing::info!(peer = %self.peer, "a connection is closed: its peer does not read the responses");
            }
        }
    }
}

/// The answer to one request, watched until its receiver has it.
async fn answer(
    mut port: Dispatcher,
    deliveries: Arc<Deliveries>,
    request: http::Request<Incoming>,
) -> Result<Response, Infallible> {
    let public = [Method::GET, Method::HEAD].contains(request.method());
    let waiting = deliveries.count();
    let under_way = deliveries.request();
    if public && waiting >= PUBLIC {
        return Ok(too_many_answers().map(|body| under_way.answered(body)));
    }
    if request.version() == Version::HTTP_2 {
        return Ok(port.call(request.map(Body::new)).await?.map(|body| under_way.answered(body)));
    }
    let asked = unread::waits_to_be_asked(request.headers());
    let (parts, body) = request.into_parts();
    let shared = Shared::new(body);
    let mut response = port.call(http::Request::from_parts(parts, unread::body(shared.clone()))).await?;
    if !shared.read_away(asked).await {
        unread::closes(response.headers_mut());
    }
    Ok(response.map(|body| under_way.answered(body)))
}
