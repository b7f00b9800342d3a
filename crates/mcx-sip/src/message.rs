//! Requests and responses, and builders for both.

use bytes::Bytes;
use ezk_sip_types::header::typed::Via;
use ezk_sip_types::print::AppendCtx;
use ezk_sip_types::{Headers, Name, StatusCode};
use std::fmt::Write;
use std::net::SocketAddr;

/// One SIP message.
#[derive(Debug, Clone)]
pub enum Message {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
}

/// The five headers every message carries and every response repeats (RFC 3261 8.2.6.2).
#[derive(Debug, Clone)]
pub struct MandatoryHeaders {
    /// The topmost `Via`, parsed.
    pub top_via: Via,
    /// The other `Via` values, in order, as written.
    pub further_vias: Vec<String>,
    /// `From`, as written.
    pub from: String,
    /// `To`, as written.
    pub to: String,
    /// `Call-ID`.
    pub call_id: String,
    /// The number in `CSeq`.
    pub sequence: u32,
    /// The method in `CSeq`.
    pub sequence_method: String,
}

impl MandatoryHeaders {
    /// The branch parameter of the topmost `Via`; empty when there is none.
    #[must_use]
    pub fn branch(&self) -> &str {
        self.top_via.params.get_val("branch").map_or("", |branch| branch.as_str())
    }

    /// Records where the request came from in the topmost `Via` (RFC 3261 18.2.1, RFC 3581 4).
    pub fn record_source(&mut self, source: SocketAddr) {
        let address = source.ip().to_string();
        let wants_port = self.top_via.params.get("rport").is_some();
        if wants_port || self.top_via.sent_by.ip() != Some(source.ip()) {
            self.top_via.params.push_or_edit("received", address);
        }
        if wants_port {
            self.top_via.params.push_or_edit("rport", source.port().to_string());
        }
    }

    /// Where a response over UDP goes: always to the address the request came from, and to the port it came from
    /// when `rport` asks for it, else to the port of `Via`. `maddr` is not honoured, nor a `received` the sender wrote:
    /// either would let a sender choose whom we answer.
    #[must_use]
    pub fn response_address(&self, source: SocketAddr) -> SocketAddr {
        if self.top_via.params.get("rport").is_some() {
            return source;
        }
        SocketAddr::new(source.ip(), self.top_via.sent_by.port.unwrap_or(5060))
    }
}

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    /// The method; methods compare with case (RFC 3261 7.1).
    pub method: String,
    /// The Request-URI, as written.
    pub uri: String,
    /// The headers every message has.
    pub mandatory: MandatoryHeaders,
    /// All headers.
    pub headers: Headers,
    /// The body.
    pub body: Bytes,
}

/// A response.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status code, 100 to 699.
    pub status: u16,
    /// The reason phrase.
    pub reason: String,
    /// The headers every message has.
    pub mandatory: MandatoryHeaders,
    /// All headers.
    pub headers: Headers,
    /// The body.
    pub body: Bytes,
}

macro_rules! header_access {
    ($type:ty) => {
        impl $type {
            /// The first value of a header, as written.
            #[must_use]
            pub fn header(&self, name: Name) -> Option<&str> {
                self.headers.get_raw(&name).next().map(|value| value.as_str())
            }

            /// All values of a header, one for each line.
            pub fn header_values(&self, name: Name) -> impl Iterator<Item = &str> {
                // The iterator borrows the headers only.
                self.headers.get_raw(&name).map(|value| value.as_str()).collect::<Vec<_>>().into_iter()
            }
        }
    };
}
header_access!(Request);
header_access!(Response);

/// Writes a response to a request.
#[derive(Debug, Clone)]
pub struct ResponseBuilder {
    head: String,
    headers: String,
    status: u16,
}

impl ResponseBuilder {
    /// Begins a response: `Via`, `From`, `To`, `Call-ID` and `CSeq` are those of the request (RFC 3261 8.2.6.2).
    /// `to_tag` is appended to `To` unless the request brought a tag.
    #[must_use]
    pub fn new(mandatory: &MandatoryHeaders, status: u16, to_tag: &str) -> Self {
        let reason = StatusCode::from(status).text().unwrap_or("Unspecified");
        let mut head =
            format!("SIP/2.0 {status} {reason}\r\nVia: {}\r\n", mandatory.top_via.default_print_ctx());
        for via in &mandatory.further_vias {
            push(&mut head, "Via", via);
        }
        push(&mut head, "From", &mandatory.from);
        if has_tag(&mandatory.to) || to_tag.is_empty() {
            push(&mut head, "To", &mandatory.to);
        } else {
            push(&mut head, "To", &format!("{};tag={to_tag}", mandatory.to));
        }
        push(&mut head, "Call-ID", &mandatory.call_id);
        push(&mut head, "CSeq", &format!("{} {}", mandatory.sequence, mandatory.sequence_method));
        Self { head, headers: String::new(), status }
    }

    /// Appends a header. Line breaks in the value become spaces, so that a value can never add a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        push(&mut self.headers, name, value);
        self
    }

    /// The status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The bytes to send, without a body.
    #[must_use]
    pub fn finish(self) -> Bytes {
        Bytes::from(format!("{}{}Content-Length: 0\r\n\r\n", self.head, self.headers))
    }
}

/// Writes a request.
#[derive(Debug, Clone)]
pub struct RequestBuilder {
    text: String,
}

impl RequestBuilder {
    /// Begins a request with its line; headers follow in the order they are added.
    #[must_use]
    pub fn new(method: &str, uri: &str) -> Self {
        Self { text: format!("{method} {uri} SIP/2.0\r\n") }
    }

    /// Appends a header. Line breaks in the value become spaces, so that a value can never add a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        push(&mut self.text, name, value);
        self
    }

    /// The bytes to send, without a body.
    #[must_use]
    pub fn finish(mut self) -> Bytes {
        self.text.push_str("Content-Length: 0\r\n\r\n");
        Bytes::from(self.text)
    }
}

fn push(text: &mut String, name: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = write!(text, "{name}: ");
    text.extend(value.chars().map(|character| if character.is_control() { ' ' } else { character }));
    text.push_str("\r\n");
}

fn has_tag(address: &str) -> bool {
    let parameters = address.rsplit('>').next().unwrap_or(address);
    parameters.split(';').skip(1).any(|parameter| {
        parameter.trim_start().get(..4).is_some_and(|name| name.eq_ignore_ascii_case("tag="))
    })
}
