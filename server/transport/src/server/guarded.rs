//! A connection that is closed when nothing moves on it.

use std::{
    io::{self, ErrorKind},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// How long a peer has to say which protocol it speaks.
const GREETING: Duration = Duration::from_secs(10);
/// As many bytes as that takes: HTTP/2's preface. No HTTP/1.1 request is shorter.
const GREETING_BYTES: usize = 24;
/// How long nothing may move in either direction. Live HTTP/2 peers answer a ping well within it.
const IDLE: Duration = Duration::from_mins(2);

/// A stream with an end to waiting: for the greeting as a whole, then for the next byte either way.
pub(super) struct Guarded<S> {
    stream: S,
    /// Bytes of the greeting that are still to come.
    greeting: usize,
    /// When it was opened; after the greeting, when a byte last moved.
    since: Instant,
    /// Fires at some time after `since`; where that has moved on, it is wound up again. So a byte costs no timer.
    alarm: Pin<Box<Sleep>>,
}

impl<S> Guarded<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, greeting: GREETING_BYTES, since: Instant::now(), alarm: Box::pin(sleep(GREETING)) }
    }

    fn allowed(&self) -> Duration {
        if self.greeting > 0 { GREETING } else { IDLE }
    }

    fn moved(&mut self, bytes: usize) {
        if self.greeting == 0 && bytes > 0 {
            self.since = Instant::now();
        }
    }

    fn read(&mut self, bytes: usize) {
        self.greeting = self.greeting.saturating_sub(bytes);
        self.moved(bytes);
    }

    /// Called where the stream has nothing to do: an error once that has lasted too long.
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        while self.alarm.as_mut().poll(context).is_ready() {
            let end = self.since + self.allowed();
            if end <= Instant::now() {
                return Poll::Ready(io::Error::new(ErrorKind::TimedOut, "nothing moved for too long"));
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
        self.read(into.filled().len() - before);
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
