//! Messages out of a byte stream: TCP and TLS (RFC 3261 18.3, keep-alives of RFC 5626 4.4.1).

use crate::parse::{MessageLimits, content_length};
use bytes::{Buf, Bytes, BytesMut};
use tokio_util::codec::Decoder;

/// One piece of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A whole message, head and body.
    Message(Bytes),
    /// A double line break: the peer expects a single one back.
    Ping,
}

/// A stream that cannot be cut into messages: the connection has to be closed.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// A message, or its announced length, is beyond the limit.
    #[error("message is larger than allowed")]
    TooLarge,
    /// `Content-Length` is missing, repeated or no number: the end of the message is unknown (RFC 3261 18.3).
    #[error("content length is missing or malformed")]
    ContentLength,
    /// The connection failed.
    #[error("connection failed: {0}")]
    Connection(#[from] std::io::Error),
}

/// Cuts a stream into messages without reading further into them than their length.
#[derive(Debug)]
pub struct StreamFraming {
    limits: MessageLimits,
    /// How far the end of the head has been looked for.
    searched: usize,
    /// End of the message at the front of the buffer, once its head is known.
    message_end: Option<usize>,
}

impl StreamFraming {
    /// Framing within limits.
    #[must_use]
    pub fn new(limits: MessageLimits) -> Self {
        Self { limits, searched: 0, message_end: None }
    }
}

impl Decoder for StreamFraming {
    type Item = Frame;
    type Error = FrameError;

    fn decode(&mut self, source: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        loop {
            if let Some(end) = self.message_end {
                if source.len() < end {
                    return Ok(None);
                }
                self.message_end = None;
                self.searched = 0;
                return Ok(Some(Frame::Message(source.split_to(end).freeze())));
            }
            if self.searched == 0 {
                if source.starts_with(b"\r\n\r\n") {
                    source.advance(4);
                    return Ok(Some(Frame::Ping));
                }
                // A lone break is the answer to our own ping, or half of one from the peer.
                if source.as_ref() == b"\r\n" || source.as_ref() == b"\r\n\r" || source.as_ref() == b"\r" {
                    return Ok(None);
                }
                if source.starts_with(b"\r\n") {
                    source.advance(2);
                    continue;
                }
            }
            let Some(head_end) = find_head_end(source, self.searched) else {
                if source.len() > self.limits.message_bytes {
                    return Err(FrameError::TooLarge);
                }
                self.searched = source.len().saturating_sub(3);
                return Ok(None);
            };
            let length = announced_length(&source[..head_end])?;
            let end = head_end.checked_add(length).ok_or(FrameError::TooLarge)?;
            if end > self.limits.message_bytes {
                return Err(FrameError::TooLarge);
            }
            self.message_end = Some(end);
        }
    }
}

fn find_head_end(bytes: &[u8], from: usize) -> Option<usize> {
    bytes[from..].windows(4).position(|window| window == b"\r\n\r\n").map(|position| from + position + 4)
}

fn announced_length(head: &[u8]) -> Result<usize, FrameError> {
    let mut length = None;
    for line in head.split(|&byte| byte == b'\n') {
        let mut parts = line.splitn(2, |&byte| byte == b':');
        let name = parts.next().unwrap_or_default().trim_ascii();
        let Some(value) = parts.next() else { continue };
        if name.eq_ignore_ascii_case(b"content-length") || name.eq_ignore_ascii_case(b"l") {
            let value = std::str::from_utf8(value).ok().and_then(content_length);
            if length.is_some() || value.is_none() {
                return Err(FrameError::ContentLength);
            }
            length = value;
        }
    }
    length.ok_or(FrameError::ContentLength)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGISTER: &str = "REGISTER sip:x SIP/2.0\r\nl: 3\r\n\r\nabc";

    fn framing() -> StreamFraming {
        StreamFraming::new(MessageLimits { message_bytes: 64, ..MessageLimits::default() })
    }

    #[test]
    fn messages_are_cut_wherever_the_stream_breaks() {
        let stream = format!("\r\n\r\n{REGISTER}\r\n{REGISTER}");
        for cut in 1..stream.len() {
            let (mut framing, mut buffer) = (framing(), BytesMut::new());
            let mut messages = 0;
            for part in [&stream[..cut], &stream[cut..]] {
                buffer.extend_from_slice(part.as_bytes());
                while let Some(frame) = framing.decode(&mut buffer).unwrap() {
                    if let Frame::Message(message) = frame {
                        assert_eq!(message, REGISTER.as_bytes());
                        messages += 1;
                    }
                }
            }
            assert_eq!(messages, 2, "cut at {cut}");
            assert!(buffer.is_empty());
        }
    }

    #[test]
    fn a_double_line_break_is_a_ping() {
        let mut buffer = BytesMut::from("\r\n\r\n");
        assert_eq!(framing().decode(&mut buffer).unwrap(), Some(Frame::Ping));
    }

    #[test]
    fn a_length_beyond_the_limit_is_refused_before_the_body_arrives() {
        let mut buffer = BytesMut::from("X\r\nContent-Length: 18446744073709551615\r\n\r\n");
        assert!(matches!(framing().decode(&mut buffer), Err(FrameError::TooLarge)));
        let mut buffer = BytesMut::from(vec![b'a'; 65].as_slice());
        assert!(matches!(framing().decode(&mut buffer), Err(FrameError::TooLarge)));
    }

    #[test]
    fn a_stream_without_content_length_cannot_be_cut() {
        for head in ["X: y\r\n\r\n", "l: -1\r\n\r\n", "l: 1\r\nContent-Length: 1\r\n\r\n", "l: +1\r\n\r\n"] {
            let mut buffer = BytesMut::from(head);
            assert!(matches!(framing().decode(&mut buffer), Err(FrameError::ContentLength)), "{head}");
        }
    }
}
