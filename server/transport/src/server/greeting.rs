//! Tells a peer that it speaks TLS to a plain port, or the other way round, and logs it once for each peer. The first
//! byte shows it: a TLS record begins with its type, which is not a letter, and HTTP of both versions begins with a
//! letter.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout},
};

/// The type of the record that a TLS handshake begins with.
const TLS_HANDSHAKE: u8 = 0x16;
/// How much of the peer's bytes is read, because unread bytes at the close of a connection destroy the answer.
const READ_AWAY: u64 = 16 * 1024;
/// How long that, and writing the answer, may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many peers are remembered, so that one that tries repeatedly is logged once.
const REMEMBERED: usize = 64;
/// The least time between two lines in the log.
const BETWEEN: Duration = Duration::from_secs(1);

/// The protocol of a peer that the port does not speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mistaken {
    /// TLS on a plain port.
    Tls,
    /// HTTP on a port that speaks TLS.
    Plain,
}

impl Mistaken {
    /// What `first`, the first byte of a connection, shows about a peer of a port that speaks TLS or not. `None` if it
    /// fits.
    const fn of(first: u8, port_speaks_tls: bool) -> Option<Self> {
        match (first, port_speaks_tls) {
            (TLS_HANDSHAKE, false) => Some(Self::Tls),
            (b'A'..=b'Z' | b'a'..=b'z', true) => Some(Self::Plain),
            _ => None,
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Tls => {
                "this port speaks plain HTTP and the client began TLS: use http:// in its URL, or configure tls.certificate and \
                 tls.private_key at the server"
            }
            Self::Plain => "this port speaks TLS and the client sent plain HTTP: use https:// in its URL",
        }
    }

    /// The answer is plain HTTP in both cases: many TLS clients recognise it and report it.
    fn answer(self) -> String {
        let body = format!("{}\n", self.text());
        format!(
            "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\nconnection: \
             close\r\n\r\n{body}",
            body.len()
        )
    }
}

/// Whether the peer speaks another protocol than the port, once its first byte has arrived.
pub(super) async fn mistaken(stream: &TcpStream, port_speaks_tls: bool) -> io::Result<Option<Mistaken>> {
    let mut first = [0];
    let read = stream.peek(&mut first).await?;
    Ok(if read == 0 { None } else { Mistaken::of(first[0], port_speaks_tls) })
}

/// Tells the peer, and closes the connection.
pub(super) async fn refuse(mut stream: TcpStream, mistaken: Mistaken) {
    let told = async {
        stream.write_all(mistaken.answer().as_bytes()).await?;
        stream.shutdown().await?;
        tokio::io::copy(&mut (&mut stream).take(READ_AWAY), &mut tokio::io::sink()).await
    };
    if !matches!(timeout(PATIENCE, told).await, Ok(Ok(_))) {
        tracing::debug!("a peer used the wrong protocol and could not be told");
    }
}

/// The peers that the log has named.
#[derive(Debug, Default)]
pub(super) struct Named(Mutex<NamedPeers>);

#[derive(Debug, Default)]
struct NamedPeers {
    /// The latest of them, in order.
    peers: VecDeque<IpAddr>,
    /// When the last one was named.
    last: Option<Instant>,
}

impl Named {
    /// Logs the mistake of a peer: once per peer, and at most one line per second.
    pub(super) fn log(&self, peer: SocketAddr, mistaken: Mistaken) {
        if self.is_new(peer.ip(), Instant::now()) {
            tracing::warn!(peer = %peer.ip(), "{}; said once for each peer", mistaken.text());
        }
    }

    fn is_new(&self, peer: IpAddr, now: Instant) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let NamedPeers { peers, last } = &mut *known;
        if peers.contains(&peer) || last.is_some_and(|last| now < last + BETWEEN) {
            return false;
        }
        if peers.len() == REMEMBERED {
            peers.pop_front();
        }
        peers.push_back(peer);
        *last = Some(now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_says_what_a_peer_speaks() {
        for (first, on_plain, on_tls) in [
            (0x16, Some(Mistaken::Tls), None),
            (b'G', None, Some(Mistaken::Plain)),
            (b'P', None, Some(Mistaken::Plain)),
            (b'g', None, Some(Mistaken::Plain)),
            // Neither: the reader of the connection handles it.
            (0x80, None, None),
            (b'\r', None, None),
            (0, None, None),
        ] {
            assert_eq!((Mistaken::of(first, false), Mistaken::of(first, true)), (on_plain, on_tls), "{first:#x}");
        }
    }

    #[test]
    fn a_peer_is_named_once_and_not_every_peer_at_once() {
        let (named, now) = (Named::default(), Instant::now());
        let peer = |last: u8| IpAddr::from([192, 0, 2, last]);
        assert!(named.is_new(peer(1), now));
        assert!(!named.is_new(peer(2), now), "too soon");
        assert!(named.is_new(peer(2), now + BETWEEN));
        assert!(!named.is_new(peer(1), now + 2 * BETWEEN), "named before");
        for nth in 0..u8::MAX {
            named.is_new(peer(nth), now + BETWEEN * (3 + u32::from(nth)));
        }
        assert_eq!(named.0.lock().unwrap().peers.len(), REMEMBERED);
    }
}
