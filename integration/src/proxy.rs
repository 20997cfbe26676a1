//! A TCP proxy that disturbs connections: between a server and its database, or between a client and its server.

use std::{future::pending, net::SocketAddr, path::PathBuf, str::FromStr as _, time::Duration};

use sqlx::postgres::PgConnectOptions;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UnixStream},
    sync::{mpsc, watch},
    task::AbortHandle,
    time::{Instant, sleep_until},
};

use crate::{Database, Failure};

/// How the proxy treats the data, on every open connection at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// The data passes.
    Fair,
    /// Requests arrive later by this time.
    Slow(Duration),
    /// Nothing is transferred, and neither side is told.
    Stalled,
    /// Requests arrive, and the connection breaks where the answer would have come.
    Unanswered,
    /// Connections break, and new ones break as soon as they are made.
    Cut,
}

/// The target of a proxy.
#[derive(Debug, Clone)]
enum End {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

/// A proxy on a separate port. When it is dropped, it ends, and so do all its connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    accepting: AbortHandle,
}

impl Proxy {
    /// In front of the program that listens on this address.
    pub async fn to(address: SocketAddr) -> Result<Self, Failure> {
        Self::start(End::Tcp(address)).await
    }

    /// In front of a database; also returns the database with the address of the proxy.
    pub async fn to_database(database: &Database) -> Result<(Self, Database), Failure> {
        let options = PgConnectOptions::from_str(&database.serving_url)?;
        let name = options.get_database().ok_or("a database without a name")?;
        let socket = options.get_socket().ok_or("the Postgres of the tests listens on a socket")?;
        let proxy = Self::start(End::Unix(socket.join(format!(".s.PGSQL.{}", options.get_port())))).await?;
        let user = options.get_username();
        let url = format!("postgresql://{}/{name}?user={user}&sslmode=disable", proxy.address);
        Ok((proxy, database.through(url)))
    }

    async fn start(end: End) -> Result<Self, Failure> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (weather, told) = watch::channel(Weather::Fair);
        let accepting = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(connect(near, end.clone(), told.clone()));
            }
        });
        Ok(Self { address, weather, accepting: accepting.abort_handle() })
    }

    /// The address on which it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets how it treats data from now on.
    pub fn becomes(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.becomes(Weather::Cut);
        self.accepting.abort();
    }
}

async fn connect(near: TcpStream, end: End, weather: watch::Receiver<Weather>) {
    let (near_in, near_out) = near.into_split();
    match end {
        End::Tcp(address) => {
            let Ok(far) = TcpStream::connect(address).await else { return };
            let (far_in, far_out) = far.into_split();
            both(Way::asking(near_in, far_out), Way::answering(far_in, near_out), weather).await;
        }
        End::Unix(path) => {
            let Ok(far) = UnixStream::connect(path).await else { return };
            let (far_in, far_out) = far.into_split();
            both(Way::asking(near_in, far_out), Way::answering(far_in, near_out), weather).await;
        }
    }
}

/// Runs until one direction ends; then both end.
async fn both<A, B, C, D>(asking: Way<A, B>, answering: Way<C, D>, weather: watch::Receiver<Weather>)
where
    A: AsyncRead + Unpin,
    B: AsyncWrite + Unpin,
    C: AsyncRead + Unpin,
    D: AsyncWrite + Unpin,
{
    let (mut there, mut back) = (weather.clone(), weather.clone());
    let mut cut = weather;
    tokio::select! {
        _ = cut.wait_for(|weather| *weather == Weather::Cut) => {}
        () = asking.carry(&mut there) => {}
        () = answering.carry(&mut back) => {}
    }
}

/// One direction of a connection.
struct Way<R, W> {
    from: R,
    to: W,
    answers: bool,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Way<R, W> {
    const fn asking(from: R, to: W) -> Self {
        Self { from, to, answers: false }
    }

    const fn answering(from: R, to: W) -> Self {
        Self { from, to, answers: true }
    }

    /// Transfers data until either side ends. Data that is read while other data waits has its own waiting time, which
    /// runs in parallel.
    async fn carry(self, weather: &mut watch::Receiver<Weather>) {
        let Self { mut from, mut to, answers } = self;
        let (read, mut held) = mpsc::channel(32);
        let reading = async move {
            let mut buffer = vec![0; 16 * 1024];
            while let Ok(length) = from.read(&mut buffer).await
                && length > 0
                && read.send((Instant::now(), buffer[..length].to_vec())).await.is_ok()
            {}
        };
        let writing = async move {
            while let Some((at, bytes)) = held.recv().await
                && is_through(weather, at, answers).await
                && to.write_all(&bytes).await.is_ok()
            {}
        };
        tokio::select! {
            () = writing => {}
            () = async { reading.await; pending().await } => {}
        }
    }
}

/// Waits until data that was read at `at` may pass; false if it never may.
async fn is_through(weather: &mut watch::Receiver<Weather>, at: Instant, answers: bool) -> bool {
    loop {
        let now = *weather.borrow_and_update();
        match now {
            Weather::Cut => return false,
            Weather::Unanswered => return !answers,
            Weather::Slow(by) if !answers => {
                tokio::select! {
                    () = sleep_until(at + by) => return true,
                    changed = weather.changed() => if changed.is_err() { return false },
                }
            }
            Weather::Stalled => {
                if weather.changed().await.is_err() {
                    return false;
                }
            }
            Weather::Fair | Weather::Slow(_) => return true,
        }
    }
}
