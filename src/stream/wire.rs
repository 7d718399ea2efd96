//! A WebSocket as streams need it: one shared frame in flight, and hardly any memory of its own.
//!
//! What comes in is decoded by tungstenite. What goes out is not encoded by it, since it would copy each frame into a
//! buffer of each connection; frames arrive here with their header, shared, and only how far each was written is kept.
//! All input and output of a stream is in this file.

use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::error::{CapacityError, Error, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::close::Close;

/// Bytes read at a time, and kept for it.
const READ_BUFFER: usize = 2 * 1024;
/// Control frames that wait to be written, in bytes: some pongs and a close.
const MAX_CONTROL: usize = 512;
const PING: [u8; 2] = [0x89, 0];

/// The server's side of an open WebSocket.
#[derive(Debug)]
pub struct Wire<S> {
    io: S,
    context: WebSocketContext,
    control: Vec<u8>,
    frame: Bytes,
    /// Whether a part of `frame` is out already, so that nothing may come between.
    started: bool,
    /// Whether the socket was full when last written to.
    blocked: bool,
}

/// What happened on the wire.
#[derive(Debug)]
pub(super) enum Event {
    /// The peer took some bytes.
    Took {
        /// They were the last of the frame.
        frame_done: bool,
        /// It had not taken all it could before.
        was_blocked: bool,
    },
    /// The peer said something.
    Received(Incoming),
    /// The connection is to be closed.
    Fault(Fault),
}

/// What a peer says.
#[derive(Debug)]
pub(super) enum Incoming {
    Text(Utf8Bytes),
    Binary,
    Ping,
    Pong,
}

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The peer closed, by a close frame or without.
    Gone,
    /// The peer has to be told why.
    Told(Close),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// A WebSocket after its handshake. `read_ahead` is what came in with the handshake and was not part of it;
    /// messages over `max_message` bytes are a fault.
    pub fn new(io: S, read_ahead: &[u8], max_message: usize) -> Self {
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_write_buffer_size(MAX_CONTROL)
            .max_message_size(Some(max_message))
            .max_frame_size(Some(max_message));
        let context = match read_ahead {
            [] => WebSocketContext::new(Role::Server, Some(config)),
            _ => WebSocketContext::from_partially_read(read_ahead.to_vec(), Role::Server, Some(config)),
        };
        Self { io, context, control: Vec::new(), frame: Bytes::new(), started: false, blocked: false }
    }

    /// Whether a frame is in flight.
    pub(super) fn is_busy(&self) -> bool {
        !self.frame.is_empty()
    }

    /// Whether control frames wait to be written.
    pub(super) fn control_waits(&self) -> bool {
        !self.control.is_empty()
    }

    /// Puts a frame in flight. Only when none is.
    pub(super) fn put(&mut self, frame: Bytes) {
        debug_assert!(!self.is_busy());
        self.frame = frame;
        self.started = false;
    }

    /// Sends a ping, between frames.
    pub(super) fn ping(&mut self) {
        if self.control.len() < MAX_CONTROL {
            self.control.extend_from_slice(&PING);
        }
    }

    /// The next thing that happens. `read`: whether to take in what the peer says.
    pub(super) fn poll_event(&mut self, cx: &mut Context<'_>, read: bool) -> Poll<Event> {
        let was_blocked = self.blocked;
        if let Poll::Ready(written) = self.poll_write(cx) {
            return Poll::Ready(match written {
                Ok(frame_done) => Event::Took { frame_done, was_blocked },
                Err(_) => Event::Fault(Fault::Gone),
            });
        }
        if !read {
            return Poll::Pending;
        }
        let mut side = Side { io: &mut self.io, control: &mut self.control, cx };
        let message = match self.context.read(&mut side) {
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            message => message,
        };
        if matches!(message, Ok(Message::Ping(_) | Message::Close(_))) {
            // The answer is queued within; what does not fit now goes with the next.
            let _ = self.context.flush(&mut side);
        }
        Poll::Ready(match message {
            Ok(Message::Text(text)) => Event::Received(Incoming::Text(text)),
            Ok(Message::Binary(_)) => Event::Received(Incoming::Binary),
            Ok(Message::Ping(_)) => Event::Received(Incoming::Ping),
            Ok(Message::Pong(_)) => Event::Received(Incoming::Pong),
            Ok(Message::Close(_) | Message::Frame(_)) => Event::Fault(Fault::Gone),
            Err(Error::Capacity(CapacityError::MessageTooLong { .. })) => Event::Fault(Fault::Told(Close::TooBig)),
            Err(Error::Utf8(_)) => Event::Fault(Fault::Told(Close::NotUtf8)),
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => Event::Fault(Fault::Gone),
            Err(Error::Protocol(_)) => Event::Fault(Fault::Told(Close::Protocol)),
            Err(_) => Event::Fault(Fault::Gone),
        })
    }

    /// Writes what can be written: control frames first, unless a frame is half out. Ready when some was, with whether
    /// the frame is done.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut took = false;
        loop {
            let in_frame = self.started || self.control.is_empty();
            let waiting: &[u8] = if in_frame { &self.frame } else { &self.control };
            if waiting.is_empty() {
                break;
            }
            match Pin::new(&mut self.io).poll_write(cx, waiting) {
                Poll::Pending => {
                    self.blocked = true;
                    return if took { Poll::Ready(Ok(false)) } else { Poll::Pending };
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) if in_frame => {
                    took = true;
                    self.blocked = false;
                    self.frame.advance(written);
                    self.started = !self.frame.is_empty();
                    if !self.started {
                        self.frame = Bytes::new();
                        return Poll::Ready(Ok(true));
                    }
                }
                Poll::Ready(Ok(written)) => {
                    took = true;
                    self.blocked = false;
                    self.control.drain(..written);
                    if self.control.is_empty() {
                        self.control = Vec::new();
                    }
                }
            }
        }
        if took { Poll::Ready(Ok(false)) } else { Poll::Pending }
    }

    /// Ends the connection within `linger`: tells the peer why if there is a reason to tell, and then waits for it to
    /// hang up, since a socket that is dropped with unread input takes back what it has sent.
    pub(super) async fn finish(mut self, close: Option<Close>, linger: Duration) {
        if let Some(close) = close {
            let reason = close.reason();
            // Control frames have at most 125 bytes; reasons are short.
            self.control.extend_from_slice(&[0x88, 2 + reason.len() as u8]);
            self.control.extend_from_slice(&close.code().to_be_bytes());
            self.control.extend_from_slice(reason.as_bytes());
        }
        if !self.started {
            self.frame = Bytes::new();
        }
        // Late or broken, it is over either way.
        let _ = tokio::time::timeout(linger, async {
            while self.is_busy() || self.control_waits() {
                poll_fn(|cx| self.poll_write(cx)).await?;
            }
            poll_fn(|cx| Pin::new(&mut self.io).poll_shutdown(cx)).await?;
            let mut waste = [0u8; 1024];
            loop {
                let mut waste = ReadBuf::new(&mut waste);
                poll_fn(|cx| Pin::new(&mut self.io).poll_read(cx, &mut waste)).await?;
                if waste.filled().is_empty() {
                    return io::Result::Ok(());
                }
            }
        })
        .await;
    }
}

/// What tungstenite sees of a wire: reads come from the socket, writes (pongs, and the answer to a close) go to the
/// control frames.
struct Side<'a, 'b, S> {
    io: &'a mut S,
    control: &'a mut Vec<u8>,
    cx: &'a mut Context<'b>,
}

impl<S: AsyncRead + Unpin> Read for Side<'_, '_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(buffer);
        match Pin::new(&mut *self.io).poll_read(self.cx, &mut buffer) {
            Poll::Ready(result) => result.map(|()| buffer.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl<S> Write for Side<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.control.len() + bytes.len() > MAX_CONTROL {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        self.control.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
