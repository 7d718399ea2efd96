//! A WebSocket as streams need it: one shared frame in flight, and hardly any memory of its own.
//!
//! What comes in is decoded by tungstenite, whose decoder and buffer are there only while a message is on its way: most
//! clients say nothing for long. What goes out is not encoded by it, since it would copy each frame into a
//! buffer of each connection; frames arrive here with their header, shared, and only how far each was written is kept.
//! All input and output of a stream is in this file.

use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::error::{CapacityError, Error, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::close::Close;
use super::fragments::Fragments;

/// Bytes read at a time.
const READ_BUFFER: usize = 2 * 1024;
/// Control frames that wait to be written, in bytes: some pongs and a close.
const MAX_CONTROL: usize = 512;
const PING: [u8; 2] = [0x89, 0];

/// The server's side of an open WebSocket.
#[derive(Debug)]
pub struct Wire<S> {
    io: S,
    /// `None` between messages.
    decoder: Option<Box<WebSocketContext>>,
    control: Vec<u8>,
    frame: Bytes,
    /// Whether a part of `frame` is out already, so that nothing may come between.
    started: bool,
    /// Whether all of a frame is written, and that is told when it is out.
    finished: bool,
    /// Whether something written may still be held back below, as TLS does when the socket is full.
    unflushed: bool,
    /// Whether the socket was full when last written to.
    blocked: bool,
    /// Bytes read since the last message, and the most of them: fragments may be as small as the peer likes, and it is
    /// their headers that cost.
    unclaimed: usize,
    max_unclaimed: usize,
    max_message: usize,
    fragments: Fragments,
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
    /// So many parts of a message that is not whole yet.
    Parts(u32),
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
        let max_unclaimed = 2 * max_message + 64 * 1024;
        let (control, frame, mut fragments) = (Vec::new(), Bytes::new(), Fragments::default());
        fragments.follow(read_ahead);
        Self {
            io,
            decoder: (!read_ahead.is_empty()).then(|| decoder(read_ahead, max_message)),
            control,
            frame,
            started: false,
            finished: false,
            unflushed: false,
            blocked: false,
            unclaimed: 0,
            max_unclaimed,
            max_message,
            fragments,
        }
    }

    /// Whether a frame is in flight.
    pub(super) fn is_busy(&self) -> bool {
        !self.frame.is_empty() || self.finished
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
        if let Some(event) = self.try_write(cx) {
            return Poll::Ready(event);
        }
        if !read {
            return Poll::Pending;
        }
        if self.fragments.wait() {
            return Poll::Ready(Event::Received(Incoming::Parts(self.fragments.tell())));
        }
        if self.decoder.is_none() {
            match self.poll_begin(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(true)) => {}
                // It left, with a close frame or without.
                Poll::Ready(Ok(false) | Err(_)) => return Poll::Ready(Event::Fault(Fault::Gone)),
            }
        }
        let Some(context) = &mut self.decoder else { return Poll::Pending };
        let (unclaimed, fragments) = (&mut self.unclaimed, &mut self.fragments);
        let (io, control, max) = (&mut self.io, &mut self.control, self.max_unclaimed);
        let mut side = Side { io, control, unclaimed, max, fragments, cx };
        let message = match context.read(&mut side) {
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                if side.fragments.wait() {
                    return Poll::Ready(Event::Received(Incoming::Parts(self.fragments.tell())));
                }
                // All that came was told of. An answer that does not fit yet waits in the decoder.
                if side.fragments.is_between() && context.flush(&mut side).is_ok() {
                    self.decoder = None;
                }
                return Poll::Pending;
            }
            message => message,
        };
        *side.unclaimed = 0;
        if matches!(message, Ok(Message::Ping(_) | Message::Close(_))) {
            // The answer is queued within; what does not fit now goes with the next.
            let _ = context.flush(&mut side);
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
            Err(Error::Io(error)) if error.kind() == io::ErrorKind::QuotaExceeded => {
                Event::Fault(Fault::Told(Close::Policy))
            }
            Err(Error::Protocol(_)) => Event::Fault(Fault::Told(Close::Protocol)),
            Err(_) => Event::Fault(Fault::Gone),
        })
    }

    /// Waits for the first bytes of a message, and makes the decoder that takes them; `false`: there will be none.
    fn poll_begin(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut bytes = [MaybeUninit::uninit(); READ_BUFFER];
        let mut bytes = ReadBuf::uninit(&mut bytes);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut bytes))?;
        let bytes = bytes.filled();
        if bytes.is_empty() {
            return Poll::Ready(Ok(false));
        }
        self.unclaimed += bytes.len();
        self.fragments.follow(bytes);
        self.decoder = Some(decoder(bytes, self.max_message));
        Poll::Ready(Ok(true))
    }

    /// Writes what can be written now; `None`: nothing. The task is woken when the socket can take more.
    pub(super) fn try_write(&mut self, cx: &mut Context<'_>) -> Option<Event> {
        let was_blocked = self.blocked;
        match self.poll_write(cx) {
            Poll::Pending => None,
            Poll::Ready(Ok(frame_done)) => Some(Event::Took { frame_done, was_blocked }),
            Poll::Ready(Err(_)) => Some(Event::Fault(Fault::Gone)),
        }
    }

    /// Writes what can be written: control frames first, unless a frame is half out; and sees to it that it goes out.
    /// Ready when some was, with whether the frame is done.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut took = false;
        loop {
            let in_frame = self.started || self.control.is_empty();
            let waiting: &[u8] = if in_frame { &self.frame } else { &self.control };
            if waiting.is_empty() {
                if self.unflushed {
                    match Pin::new(&mut self.io).poll_flush(cx) {
                        Poll::Pending => {
                            self.blocked = true;
                            return if took { Poll::Ready(Ok(false)) } else { Poll::Pending };
                        }
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                        Poll::Ready(Ok(())) => (self.unflushed, self.blocked) = (false, false),
                    }
                }
                if std::mem::take(&mut self.finished) {
                    return Poll::Ready(Ok(true));
                }
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
                    (self.blocked, self.unflushed) = (false, true);
                    self.frame.advance(written);
                    self.started = !self.frame.is_empty();
                    if !self.started {
                        self.frame = Bytes::new();
                        self.finished = true;
                    }
                }
                Poll::Ready(Ok(written)) => {
                    took = true;
                    (self.blocked, self.unflushed) = (false, true);
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
            let mut waste = vec![0u8; 1024];
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

/// Decodes what follows these bytes, themselves included.
fn decoder(bytes: &[u8], max_message: usize) -> Box<WebSocketContext> {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(MAX_CONTROL)
        .max_message_size(Some(max_message))
        .max_frame_size(Some(max_message));
    Box::new(WebSocketContext::from_partially_read(bytes.to_vec(), Role::Server, Some(config)))
}

/// What tungstenite sees of a wire: reads come from the socket, writes (pongs, and the answer to a close) go to the
/// control frames.
struct Side<'a, 'b, S> {
    io: &'a mut S,
    control: &'a mut Vec<u8>,
    unclaimed: &'a mut usize,
    max: usize,
    fragments: &'a mut Fragments,
    cx: &'a mut Context<'b>,
}

impl<S: AsyncRead + Unpin> Read for Side<'_, '_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if *self.unclaimed > self.max {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        if self.fragments.wait() {
            // They are told of before more is read.
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut buffer = ReadBuf::new(buffer);
        match Pin::new(&mut *self.io).poll_read(self.cx, &mut buffer) {
            Poll::Ready(result) => result.map(|()| {
                *self.unclaimed += buffer.filled().len();
                self.fragments.follow(buffer.filled());
                buffer.filled().len()
            }),
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

#[cfg(test)]
mod tests {
    use futures_util::{SinkExt, StreamExt};
    use tokio_tungstenite::WebSocketStream;

    use super::*;
    use crate::domain::Timestamp;
    use crate::sanitize::Position;
    use crate::stream::Frame;

    #[tokio::test(start_paused = true)]
    async fn nothing_comes_between_the_parts_of_a_frame() {
        let (ours, theirs) = tokio::io::duplex(64);
        let mut wire = Wire::new(ours, &[], 1_000);
        let mut client = WebSocketStream::from_raw_socket(theirs, Role::Client, None).await;
        client.send(Message::Ping(vec![7].into())).await.unwrap();
        let frame = Frame::state(Position::default(), Timestamp::EPOCH, "x".repeat(500));
        wire.put(frame.bytes().clone());
        let first = poll_fn(|cx| wire.poll_event(cx, true)).await;
        assert!(matches!(first, Event::Took { frame_done: false, .. }), "{first:?}");
        let second = poll_fn(|cx| wire.poll_event(cx, true)).await;
        assert!(matches!(second, Event::Received(Incoming::Ping)), "it is heard while the frame is stuck: {second:?}");
        wire.ping();
        let finished = wire.finish(Some(Close::Expired), Duration::from_secs(5));
        let received = async {
            let mut received = Vec::new();
            while let Some(Ok(message)) = client.next().await {
                received.push(message);
            }
            drop(client);
            received
        };
        let (received, ()) = tokio::join!(received, finished);
        let [Message::Text(text), Message::Pong(pong), Message::Ping(_), Message::Close(Some(close))] = &received[..]
        else {
            panic!("{received:?}")
        };
        assert_eq!(text.len() + 4, frame.bytes().len());
        assert_eq!(&pong[..], [7]);
        assert_eq!((u16::from(close.code), &*close.reason), (4401, "token expired"));
    }

    /// Takes all at once, and lets it out when told to.
    struct Held(bool);

    impl AsyncRead for Held {
        fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Held {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            if self.0 { Poll::Pending } else { Poll::Ready(Ok(())) }
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn what_is_held_back_below_is_not_out() {
        let mut wire = Wire::new(Held(true), &[], 1_000);
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        wire.put(Frame::pong().bytes().clone());
        assert!(matches!(wire.try_write(cx), Some(Event::Took { frame_done: false, .. })));
        assert!(wire.is_busy() && wire.try_write(cx).is_none());
        wire.io.0 = false;
        assert!(matches!(wire.try_write(cx), Some(Event::Took { frame_done: true, was_blocked: true })));
        assert!(!wire.is_busy() && wire.try_write(cx).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_decoder_is_there_while_a_message_is_on_its_way() {
        let (ours, mut theirs) = tokio::io::duplex(64);
        let mut wire = Wire::new(ours, &[], 1_000);
        // A ping in the middle of a text in two parts, masked with zeros.
        let bytes = b"\x01\x81\0\0\0\0a\x89\x80\0\0\0\0\x80\x81\0\0\0\0b";
        let mut received = String::new();
        for (at, byte) in bytes.iter().enumerate() {
            tokio::io::AsyncWriteExt::write_all(&mut theirs, &[*byte]).await.unwrap();
            while let Poll::Ready(event) = wire.poll_event(&mut Context::from_waker(std::task::Waker::noop()), true) {
                received += &format!("{event:?} ");
            }
            assert_eq!(wire.decoder.is_some(), at + 1 < bytes.len(), "after {} bytes: {received}", at + 1);
        }
        assert!(
            received.contains("Parts(1)") && received.contains("Ping") && received.contains("\"ab\""),
            "{received}"
        );
        assert!(wire.decoder.is_none());
        drop(theirs);
        let end = poll_fn(|cx| wire.poll_event(cx, true)).await;
        assert!(matches!(end, Event::Fault(Fault::Gone)), "{end:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_sends_pings_and_takes_nothing_costs_a_bounded_memory() {
        let (ours, theirs) = tokio::io::duplex(256);
        let mut wire = Wire::new(ours, &[], 1_000);
        let mut client = WebSocketStream::from_raw_socket(theirs, Role::Client, None).await;
        let pings = tokio::spawn(async move {
            for _ in 0..10_000 {
                client.send(Message::Ping(vec![1; 100].into())).await.unwrap();
            }
            client
        });
        let mut heard = 0;
        while heard < 10_000 {
            match poll_fn(|cx| wire.poll_event(cx, true)).await {
                Event::Received(Incoming::Ping) => heard += 1,
                Event::Took { .. } => {}
                other => panic!("{other:?}"),
            }
            assert!(wire.control.len() <= MAX_CONTROL + 256);
        }
        drop(pings.await.unwrap());
    }
}
