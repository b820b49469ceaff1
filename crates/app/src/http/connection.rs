//! Connections of clients. actix bounds the time of the first head of a connection only, and a head's size at 128 KiB.
//! Here each head is bounded, and so is the rest of a body that its request did not read.
//!
//! A connection parses nothing. Its requests set its phase, and only an incomplete head or body costs a timer.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::http::connection::places::Place;

pub mod places;

/// The maximum size of the head of a request, in bytes.
pub const HEAD_BYTES_MAX: usize = 16 * 1024;

const TIMED_OUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
const HEAD_TOO_LARGE: &[u8] =
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// The meaning of the next bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The first head; silence counts as its start.
    Opened,
    /// A later head, or silence before it, which keep-alive bounds.
    Head,
    /// The body of a request in progress, which its deadline bounds.
    Request,
    /// The rest of a body after the response.
    UnreadBody,
    /// Anything, after the rejection of a head.
    Rejected,
}

/// The progress of the requests of a connection, which they share with it.
#[derive(Debug)]
pub struct Progress {
    phase: Cell<Phase>,
    /// Bytes received in this phase.
    received: Cell<usize>,
    /// Bytes received before the request in progress: its head, and possibly some of its body.
    received_before: Cell<usize>,
    /// The last bytes received, by which a complete head differs from an incomplete one.
    last: Cell<[u8; 3]>,
    has_body: Cell<bool>,
    has_unread_body: Cell<bool>,
    /// Since the deadline was set.
    has_changed: Cell<bool>,
}

impl Progress {
    fn new() -> Self {
        Self {
            phase: Cell::new(Phase::Opened),
            received: Cell::default(),
            received_before: Cell::default(),
            last: Cell::default(),
            has_body: Cell::default(),
            has_unread_body: Cell::default(),
            has_changed: Cell::default(),
        }
    }

    /// A request begins: its head is complete.
    pub fn begin(&self, has_body: bool) {
        self.has_body.set(has_body);
        self.has_unread_body.set(has_body);
        self.received_before.set(self.received.get());
        self.enter(Phase::Request);
    }

    /// The response is about to be sent. Returns whether the connection must close afterwards.
    pub fn end(&self) -> bool {
        let has_unread_body = self.has_unread_body.get();
        self.enter(if has_unread_body { Phase::UnreadBody } else { Phase::Head });
        // Without a body all bytes belong to heads. If the last one is incomplete, its time starts now.
        if !self.has_body.get() && self.last.get() != *b"\n\r\n" {
            self.received.set(1);
        }
        has_unread_body
    }

    /// The body of the request is read to its end.
    pub fn finish_body(&self) {
        self.has_unread_body.set(false);
    }

    /// Whether the head of the request in progress may be too large. Its headers decide.
    pub fn has_large_head(&self) -> bool {
        self.received_before.get() > HEAD_BYTES_MAX
    }

    fn receive(&self, bytes: &[u8]) {
        self.received.update(|received| received + bytes.len());
        self.last.update(|last| match *bytes {
            [.., first, second, third] => [first, second, third],
            [first, second] => [last[2], first, second],
            [first] => [last[1], last[2], first],
            [] => last,
        });
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.received.set(0);
        self.has_changed.set(true);
    }
}

/// A connection whose heads and unread bodies end in time.
pub struct Connection<S> {
    stream: S,
    progress: Rc<Progress>,
    timeout: Duration,
    /// The end of the phase; `None` while the phase is not bounded.
    deadline: Option<Pin<Box<Sleep>>>,
    _place: Place,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// A connection with `timeout` for a head, and for an unread body.
    pub fn new(stream: S, timeout: Duration, place: Place) -> Self {
        Self { stream, progress: Rc::new(Progress::new()), timeout, deadline: None, _place: place }
    }

    /// Shared with each request.
    pub fn progress(&self) -> Rc<Progress> {
        Rc::clone(&self.progress)
    }

    /// Whether the phase has lasted too long.
    fn is_overdue(&mut self, cx: &mut Context<'_>) -> bool {
        self.drop_past_deadline();
        self.deadline.as_mut().is_some_and(|deadline| deadline.as_mut().poll(cx).is_ready())
    }

    /// Bounds the phase. Called when actix has parsed all that it received, and sent all that it had to send.
    fn bound(&mut self, cx: &mut Context<'_>) {
        let received = self.progress.received.get();
        let is_bounded = match self.progress.phase.get() {
            Phase::Opened | Phase::Head if received > HEAD_BYTES_MAX => {
                self.progress.enter(Phase::Rejected);
                self.respond(cx, HEAD_TOO_LARGE);
                true
            }
            Phase::Head => received > 0,
            Phase::Request => false,
            Phase::Opened | Phase::UnreadBody | Phase::Rejected => true,
        };
        self.drop_past_deadline();
        if is_bounded && self.deadline.is_none() {
            // Registers the task, which then reads; not ready yet.
            let _pending = self.deadline.insert(Box::pin(sleep(self.timeout))).as_mut().poll(cx);
        }
    }

    fn drop_past_deadline(&mut self) {
        if self.progress.has_changed.take() {
            self.deadline = None;
        }
    }

    /// Responds in place of actix, which has nothing to send.
    fn respond(&mut self, cx: &mut Context<'_>, response: &[u8]) {
        // The connection ends in either case.
        let _sent = Pin::new(&mut self.stream).poll_write(cx, response);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Connection<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.is_overdue(cx) {
            if matches!(this.progress.phase.get(), Phase::Opened | Phase::Head) {
                this.progress.enter(Phase::Rejected);
                this.respond(cx, TIMED_OUT);
            }
            return Poll::Ready(Ok(()));
        }
        let filled = buffer.filled().len();
        loop {
            ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
            let received = &buffer.filled()[filled..];
            if received.is_empty() || this.progress.phase.get() != Phase::Rejected {
                this.progress.receive(received);
                return Poll::Ready(Ok(()));
            }
            // Read to the end: a close with unread bytes would reset the connection, and the response with it.
            buffer.set_filled(filled);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Connection<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.stream).poll_flush(cx))?;
        this.bound(cx);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
