//! A connection that is closed if its peer does not show a protocol (`GREETING`), if nothing is transferred on it
//! (`IDLE`, keep-alive), or if the head of an HTTP/1.1 request does not end (`HEAD`).

use std::{
    io::{self, ErrorKind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::deliveries::Deliveries;

/// How long a peer has to show which protocol it speaks.
pub(super) const GREETING: Duration = Duration::from_secs(10);
/// The number of bytes for that: the preface of HTTP/2. No HTTP/1.1 request is shorter.
const GREETING_BYTES: usize = 24;
/// How long a connection may transfer nothing in both directions, at least. Live HTTP/2 peers answer a ping within it.
const IDLE: Duration = Duration::from_mins(2);

/// How long the head of an HTTP/1.1 request may take from its first byte on.
const HEAD: Duration = Duration::from_secs(10);
/// How HTTP/2 begins. No other protocol begins like this.
const HTTP_2: &[u8] = b"PRI";

/// A stream with limits for waiting: for the greeting as a whole, then for the next byte in either direction.
pub(super) struct Guarded<S> {
    stream: S,
    /// How long nothing may be transferred after the greeting.
    idle: Duration,
    /// The bytes of the greeting that are still missing.
    greeting: usize,
    /// When it was opened; after the greeting, when a byte was last transferred.
    since: Instant,
    /// Fires some time after `since`. If `since` has changed by then, it is set again, so a byte costs no timer.
    alarm: Pin<Box<Sleep>>,
    /// The first bytes, until they show whether this is HTTP/2.
    first: Vec<u8>,
    /// Since when the head of a request has been arriving, and how many requests came before it. For HTTP/1.1 only.
    head: Option<ComingHead>,
    deliveries: Arc<Deliveries>,
}

#[derive(Debug, Clone, Copy)]
struct ComingHead {
    /// Since when it has been coming.
    since: Instant,
    /// How many requests came before it.
    requests_before: u64,
}

impl<S> Guarded<S> {
    /// `keep_alive`: how long a connection may be idle between two requests. `opened`: when its time for the greeting
    /// began.
    pub(super) fn new(stream: S, deliveries: Arc<Deliveries>, keep_alive: Duration, opened: Instant) -> Self {
        Self {
            stream,
            idle: IDLE.max(keep_alive),
            greeting: GREETING_BYTES,
            since: opened,
            alarm: Box::pin(sleep_until(opened + GREETING)),
            first: Vec::new(),
            head: None,
            deliveries,
        }
    }

    /// When the waiting ends.
    fn end(&self) -> Instant {
        let idle = self.since + if self.greeting > 0 { GREETING } else { self.idle };
        self.head.map_or(idle, |head| idle.min(head.since + HEAD))
    }

    /// Checks whether the received bytes belong to a head that has not ended: no request is in progress, and none came
    /// since.
    fn look_at_head(&mut self, came: bool) {
        let quiet = self.deliveries.quiet();
        if self.head.is_some_and(|head| quiet != Some(head.requests_before)) {
            self.head = None;
        }
        if let (true, None, Some(requests_before)) = (came, self.head, quiet) {
            self.head = Some(ComingHead { since: Instant::now(), requests_before });
            let end = self.end();
            self.alarm.as_mut().reset(end);
        }
    }

    fn moved(&mut self, bytes: usize) {
        if self.greeting == 0 && bytes > 0 {
            self.since = Instant::now();
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        self.greeting = self.greeting.saturating_sub(bytes.len());
        self.moved(bytes.len());
        let missing = HTTP_2.len().saturating_sub(self.first.len());
        self.first.extend_from_slice(&bytes[..missing.min(bytes.len())]);
        if self.first != HTTP_2 {
            self.look_at_head(!bytes.is_empty());
        }
    }

    /// Called when the stream has nothing to do. Returns an error once that has lasted too long.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        while self.alarm.as_mut().poll(context).is_ready() {
            self.look_at_head(false);
            let end = self.end();
            if end <= Instant::now() {
                return Poll::Ready(io::Error::new(ErrorKind::TimedOut, "no data was transferred for too long"));
            }
            self.alarm.as_mut().reset(end);
        }
        Poll::Pending
    }

    fn guard<T>(&mut self, poll: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if poll.is_ready() { poll } else { self.wait(context).map(Err) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(context, into);
        self.read(&into.filled()[before..]);
        self.guard(poll, context)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(context, bytes);
        if let Poll::Ready(Ok(written)) = &poll {
            self.moved(*written);
        }
        self.guard(poll, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        if let Poll::Ready(Ok(written)) = &poll {
            self.moved(*written);
        }
        self.guard(poll, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(context);
        self.guard(poll, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_shutdown(context);
        self.guard(poll, context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        time::timeout,
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_may_be_quiet_as_long_as_is_configured() {
        let (mut client, server) = duplex(64);
        let deliveries = Arc::<Deliveries>::default();
        let mut guarded = Guarded::new(server, deliveries.clone(), Duration::from_mins(10), Instant::now());
        client.write_all(&[b'a'; GREETING_BYTES]).await.unwrap();
        guarded.read_exact(&mut [0; GREETING_BYTES]).await.unwrap();
        drop(deliveries.request());
        let mut next = [0];
        assert!(
            timeout(Duration::from_mins(9), AsyncReadExt::read(&mut guarded, &mut next)).await.is_err(),
            "it is kept"
        );
        let ended = timeout(Duration::from_mins(2), AsyncReadExt::read(&mut guarded, &mut next)).await.unwrap();
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::TimedOut);
    }
}
