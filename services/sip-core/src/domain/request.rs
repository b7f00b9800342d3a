//! A REGISTER request, decoded: nothing of it is still SIP text except what is repeated to the sender.

use mcx_sip::{DigestCredentials, SipAddress};
use mcx_types::{Impi, Impu};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// How a UE reaches the SIP core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SipTransport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
}

impl SipTransport {
    /// The name in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
        }
    }
}

/// Where a request came from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestSource {
    /// Address and port of the sender.
    pub address: SocketAddr,
    /// How it came.
    pub transport: SipTransport,
    /// The connection it came on, unique over all replicas and time; `None` for UDP.
    pub connection: Option<String>,
}

/// A REGISTER request.
#[derive(Debug, Clone)]
pub struct RegisterRequest {
    /// The identity to be registered: `To`.
    pub impu: Impu,
    /// The identity that authenticates: the digest user name, else derived from the public one (TS 24.229 5.4.1.2.1).
    pub impi: Impi,
    /// What the UE answers to a challenge.
    pub credentials: Option<DigestCredentials>,
    /// What becomes of the contacts.
    pub contacts: ContactChange,
    /// `Call-ID`, which orders requests together with the sequence number.
    pub call_id: String,
    /// The number in `CSeq`.
    pub sequence: u32,
    /// `Path` values (RFC 3327), kept for whoever sends to the contact.
    pub path: Vec<String>,
    /// `User-Agent`.
    pub user_agent: Option<String>,
    /// The sender.
    pub source: RequestSource,
}

/// What a REGISTER asks to do with the contacts (RFC 3261 10.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContactChange {
    /// No Contact: tell what is registered.
    Query,
    /// `Contact: *` with `Expires: 0`: remove all.
    RemoveAll,
    /// Add, refresh or remove these.
    Update(Vec<ContactUpdate>),
}

/// One contact of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactUpdate {
    /// The URI as written.
    pub uri: String,
    /// The same, for comparison.
    pub address: SipAddress,
    /// The lifetime asked for in seconds: the parameter, else the header; `None`: our default.
    pub expires: Option<u32>,
    /// The preference in thousandths of the q-value; `None`: none was given.
    pub preference_thousandths: Option<u16>,
    /// `+sip.instance` (RFC 5626).
    pub instance_id: Option<String>,
    /// All other header parameters, as written, such as feature tags.
    pub parameters: Vec<(String, Option<String>)>,
}

/// Reads a q-value (RFC 3261 25.1 `qvalue`) as thousandths.
#[must_use]
pub fn preference_thousandths(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction: u16 = format!("{fraction:0<3}").parse().ok()?;
    match whole {
        "0" => Some(fraction),
        "1" if fraction == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_values_are_read_as_thousandths() {
        for (text, expected) in [
            ("0", Some(0)),
            ("0.5", Some(500)),
            ("0.05", Some(50)),
            ("0.123", Some(123)),
            ("1", Some(1000)),
            ("1.000", Some(1000)),
            ("1.1", None),
            ("0.1234", None),
            ("2", None),
            ("", None),
            ("-0.1", None),
            ("0.x", None),
        ] {
            assert_eq!(preference_thousandths(text), expected, "{text}");
        }
    }
}
