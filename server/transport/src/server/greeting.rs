//! A peer that speaks TLS where the port does not, or the other way round, is told so. The first byte says it: a record of TLS
//! begins with its type, which is no letter, and HTTP of either version with a letter.

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
/// ConnectionLimits that is read of what the peer sent, bytes: what lies unread when a connection is closed takes the answer with it.
const READ_AWAY: u64 = 16 * 1024;
/// How long that, and writing the answer, may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// Peers that are remembered, so that one that asks again and again is named once.
const REMEMBERED: usize = 64;
/// Least time between two lines of the log.
const BETWEEN: Duration = Duration::from_secs(1);

/// What a peer speaks that the port does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mistaken {
    /// TLS on a plain port.
    Tls,
    /// HTTP on a port that speaks TLS.
    Plain,
}

impl Mistaken {
    /// What `first`, the first byte of a connection, says of a port that speaks TLS or does not. None: nothing is wrong with it.
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

    /// HTTP in the clear in both cases: many TLS clients know it and say what they met.
    fn answer(self) -> String {
        let body = format!("{}\n", self.text());
        format!(
            "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: {}\r\nconnection: \
             close\r\n\r\n{body}",
            body.len()
        )
    }
}

/// Whether the peer speaks something else than the port, once its first byte is there.
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

/// Which peers the log has named.
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
    /// Logs what a peer did: once for each, and not faster than a line a second.
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
            // Neither: left to what reads the connection.
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
