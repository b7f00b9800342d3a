//! From bytes to a message, within limits, and with a reply where one can be made.

use crate::address::split_list;
use crate::message::{MandatoryHeaders, Message, Request, Response};
use bytes::Bytes;
use ezk_sip_types::header::HeaderParse;
use ezk_sip_types::header::typed::Via;
use ezk_sip_types::msg::{Line, PullParser};
use ezk_sip_types::{Headers, Name};

/// How much of a message is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageLimits {
    /// Longest message with its body, in bytes.
    pub message_bytes: usize,
    /// Largest number of header lines.
    pub header_lines: usize,
    /// Longest header line after unfolding, in bytes.
    pub header_line_bytes: usize,
}

impl Default for MessageLimits {
    /// 16 KiB, 100 lines, 4 KiB: several times what an IMS REGISTER with all its headers needs.
    fn default() -> Self {
        Self { message_bytes: 16 * 1024, header_lines: 100, header_line_bytes: 4 * 1024 }
    }
}

/// What is wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseErrorKind {
    /// The head has no end, or a header is no header.
    #[error("malformed message")]
    Malformed,
    /// The version in the request line is not SIP/2.0.
    #[error("SIP version is not 2.0")]
    Version,
    /// The message or its number of headers is beyond the limits.
    #[error("message is larger than allowed")]
    TooLarge,
    /// The body is shorter than Content-Length says.
    #[error("body is shorter than its content length")]
    Truncated,
}

impl ParseErrorKind {
    /// The status code of a reply.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::Malformed | Self::Truncated => 400,
            Self::Version => 505,
            Self::TooLarge => 513,
        }
    }
}

/// A message that cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{kind}")]
pub struct ParseError {
    /// What is wrong.
    pub kind: ParseErrorKind,
    /// What a reply needs, when the message is a request (other than ACK) that shows it; silence otherwise.
    pub reply: Option<Box<MandatoryHeaders>>,
}

impl Message {
    /// Reads one whole message: a datagram, or what [`crate::StreamFraming`] cut from a stream. Bytes after the
    /// body are dropped (RFC 3261 18.3).
    ///
    /// # Errors
    /// [`ParseError`], with what a reply needs when one can be made.
    pub fn parse(bytes: &Bytes, limits: &MessageLimits) -> Result<Self, ParseError> {
        let silent = |kind| ParseError { kind, reply: None };
        if bytes.len() > limits.message_bytes {
            // Reading on would spend on the sender what the limit is there to save.
            return Err(silent(ParseErrorKind::TooLarge));
        }
        let mut lines = PullParser::new(bytes, 0);
        let first = match lines.next() {
            Some(Ok(line)) => std::str::from_utf8(line).map_err(|_| silent(ParseErrorKind::Malformed))?,
            _ => return Err(silent(ParseErrorKind::Malformed)),
        };
        let start = StartLine::parse(first).ok_or_else(|| silent(ParseErrorKind::Malformed))?;

        let mut problem = None;
        let mut headers = Headers::new();
        let mut count = 0;
        for line in &mut lines {
            let Ok(line) = line else {
                problem = Some(ParseErrorKind::Malformed);
                break;
            };
            count += 1;
            if count > limits.header_lines || line.len() > limits.header_line_bytes {
                problem = Some(ParseErrorKind::TooLarge);
                if count > limits.header_lines {
                    break;
                }
                continue;
            }
            match header(line) {
                Some((name, value)) => headers.insert(name, value),
                None => problem = Some(ParseErrorKind::Malformed),
            }
        }

        let mandatory = mandatory(&headers);
        let fail = |kind, mandatory: Option<MandatoryHeaders>| ParseError {
            kind,
            reply: match &start {
                StartLine::Request { method, .. } if *method != "ACK" => mandatory.map(Box::new),
                _ => None,
            },
        };
        if let Some(kind) = problem {
            return Err(fail(kind, mandatory));
        }
        let Some(mandatory) = mandatory else { return Err(silent(ParseErrorKind::Malformed)) };
        let body = match body(bytes, lines.head_end(), &headers) {
            Ok(body) => body,
            Err(kind) => return Err(fail(kind, Some(mandatory))),
        };
        match start {
            StartLine::Request { version, .. } if !version.eq_ignore_ascii_case("SIP/2.0") => {
                Err(fail(ParseErrorKind::Version, Some(mandatory)))
            }
            StartLine::Request { method, .. } if method != mandatory.sequence_method => {
                Err(fail(ParseErrorKind::Malformed, Some(mandatory)))
            }
            StartLine::Request { method, uri, .. } => Ok(Self::Request(Request {
                method: method.to_owned(),
                uri: uri.to_owned(),
                mandatory,
                headers,
                body,
            })),
            StartLine::Response { status, reason } => {
                Ok(Self::Response(Response { status, reason: reason.to_owned(), mandatory, headers, body }))
            }
        }
    }
}

enum StartLine<'a> {
    Request { method: &'a str, uri: &'a str, version: &'a str },
    Response { status: u16, reason: &'a str },
}

impl<'a> StartLine<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        if line.contains(|character: char| character.is_control()) {
            return None;
        }
        if let Some(rest) = line.strip_prefix("SIP/2.0 ") {
            let (status, reason) = rest.split_once(' ').unwrap_or((rest, ""));
            let status = status.parse().ok().filter(|status| (100..700).contains(status))?;
            return Some(Self::Response { status, reason });
        }
        let mut parts = line.split(' ');
        let (method, uri, version) = (parts.next()?, parts.next()?, parts.next()?);
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte);
        let sound = parts.next().is_none()
            && !uri.is_empty()
            && !method.is_empty()
            && method.bytes().all(is_token)
            && version.get(..4).is_some_and(|name| name.eq_ignore_ascii_case("SIP/"));
        sound.then_some(Self::Request { method, uri, version })
    }
}

fn header(line: &[u8]) -> Option<(Name, String)> {
    let line = Bytes::copy_from_slice(line);
    let text = std::str::from_utf8(&line).ok()?;
    let (_, parsed) = Line::parse(&line, text).ok()?;
    let name = parsed.name;
    if name.as_print_str().is_empty() {
        return None;
    }
    // Unfold (RFC 3261 7.3.1): a line break with the blanks around it is one blank.
    let value = parsed
        .value
        .as_str()
        .split(['\r', '\n'])
        .map(|part| part.trim_matches([' ', '\t']))
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    let clean = !value.contains(|character: char| character.is_control() && character != '\t');
    clean.then_some((name, value))
}

/// The headers that must be there exactly once (Via: at least once), or nothing.
fn mandatory(headers: &Headers) -> Option<MandatoryHeaders> {
    let single = |name: Name| {
        let mut values = headers.get_raw(&name);
        let value = values.next()?.as_str();
        (values.next().is_none() && !value.is_empty()).then_some(value)
    };
    let mut vias = Vec::new();
    for value in headers.get_raw(&Name::VIA) {
        vias.extend(split_list(value.as_str()).ok()?);
    }
    let (top, further) = vias.split_first()?;
    let top = Bytes::copy_from_slice(top.as_bytes());
    let (rest, top_via) = Via::parse(&top, std::str::from_utf8(&top).ok()?).ok()?;
    let (sequence, sequence_method) = single(Name::CSEQ)?.split_once([' ', '\t'])?;
    // RFC 3261 8.1.1.5: less than 2**31. Rust's number reader takes a sign, the grammar does not.
    let sequence = Some(sequence).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    if !rest.trim().is_empty() {
        return None;
    }
    Some(MandatoryHeaders {
        top_via,
        further_vias: further.iter().map(|&via| via.to_owned()).collect(),
        from: single(Name::FROM)?.to_owned(),
        to: single(Name::TO)?.to_owned(),
        call_id: single(Name::CALL_ID)?.to_owned(),
        sequence: sequence.parse().ok().filter(|&number: &u32| number < 1 << 31)?,
        sequence_method: sequence_method.trim().to_owned(),
    })
}

fn body(bytes: &Bytes, head_end: usize, headers: &Headers) -> Result<Bytes, ParseErrorKind> {
    let rest = bytes.slice(head_end.min(bytes.len())..);
    let mut lengths = headers.get_raw(&Name::CONTENT_LENGTH);
    let Some(length) = lengths.next() else { return Ok(rest) };
    let length = content_length(length.as_str()).ok_or(ParseErrorKind::Malformed)?;
    if lengths.next().is_some() {
        return Err(ParseErrorKind::Malformed);
    }
    if length > rest.len() { Err(ParseErrorKind::Truncated) } else { Ok(rest.slice(..length)) }
}

/// A Content-Length: digits only.
pub(crate) fn content_length(text: &str) -> Option<usize> {
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}
