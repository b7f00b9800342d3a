//! What a message is answered with: the rules of RFC 3261 8.2 that concern any server, before the registrar is asked.

use super::answer::{self, ALLOW};
use super::guard::{EdgeLimits, Guard, LiveCounts, RequestPermit};
use super::register::{self, BadRegister};
use super::transactions::{OpenTransaction, Seen, ServerTransactions, TransactionKey};
use crate::app::{RegisterAnswer, Registrar};
use crate::domain::request::{RequestSource, SipTransport};
use bytes::Bytes;
use ezk_sip_types::Name;
use mcx_sip::{
    AddressError, MandatoryHeaders, Message, MessageLimits, ParseError, Request, ResponseBuilder, SipAddress,
};
use metrics::Counter;
use std::net::{IpAddr, SocketAddr};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Option tags that a request may require.
const SUPPORTED: [&str; 1] = ["path"];

/// What the edge is told by the configuration.
#[derive(Debug, Clone)]
pub struct SipEdgeSettings {
    /// The domains that a Request-URI may name, in lower case.
    pub domains: Vec<String>,
    /// Every REGISTER is answered within this time; below Timer F of the UE, which is 32 s.
    pub request_deadline: Duration,
    /// What Retry-After says when there is too much to do.
    pub retry_after: Duration,
    /// `Service-Route` values of the answer to a REGISTER (RFC 3608).
    pub service_route: Vec<String>,
    /// How much of a message is looked at.
    pub message_limits: MessageLimits,
    /// How much may be alive.
    pub edge_limits: EdgeLimits,
}

/// The SIP edge: everything between a message and its answer except sockets.
pub struct SipEdge {
    settings: SipEdgeSettings,
    registrar: Registrar,
    transactions: Arc<ServerTransactions>,
    guard: Arc<Guard>,
}

/// What becomes of a message.
pub enum Reception {
    /// Nothing is sent.
    Silence,
    /// This is sent at once.
    Reply(Reply),
    /// The registrar has to be asked.
    Decide(Box<Deciding>),
}

/// A response and, for UDP, where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The bytes.
    pub bytes: Bytes,
    /// The destination over UDP; over TCP and TLS the response goes back on its connection.
    pub destination: SocketAddr,
}

/// A REGISTER that waits to be decided.
pub struct Deciding {
    edge: Arc<SipEdge>,
    request: Request,
    source: RequestSource,
    destination: SocketAddr,
    to_tag: String,
    transaction: Option<OpenTransaction>,
    _permit: RequestPermit,
}

fn panics() -> Counter {
    metrics::counter!("mcx_sip_core_panics_total")
}

impl SipEdge {
    /// An edge in front of a registrar.
    #[must_use]
    pub fn new(settings: SipEdgeSettings, registrar: Registrar) -> Arc<Self> {
        let transactions = Arc::new(ServerTransactions::new(settings.edge_limits.completed_transactions));
        let guard = Arc::new(Guard::new(settings.edge_limits));
        // There from the start: of a counter that appears with its first panic, Prometheus sees no increase.
        panics().increment(0);
        Arc::new(Self { settings, registrar, transactions, guard })
    }

    /// What is alive now.
    #[must_use]
    pub fn live_counts(&self) -> LiveCounts {
        LiveCounts {
            connections: self.guard.connections(),
            requests_in_flight: self.guard.requests_in_flight(),
            transactions: self.transactions.count(),
        }
    }

    pub(super) fn guard(&self) -> &Arc<Guard> {
        &self.guard
    }

    pub(super) fn message_limits(&self) -> MessageLimits {
        self.settings.message_limits
    }

    /// Takes a message in: a datagram, or one message of a stream. The one entry of everything from the network.
    #[must_use]
    pub fn receive(self: &Arc<Self>, bytes: &Bytes, source: RequestSource) -> Reception {
        // One task reads all datagrams: should a message ever make the grammar panic, it costs its sender the answer, not
        // everybody else the listener. Nothing is left half done: a transaction ends with its owner.
        let received = panic::catch_unwind(AssertUnwindSafe(|| self.take_in(bytes, source)));
        received.unwrap_or_else(|_| {
            panics().increment(1);
            Reception::Silence
        })
    }

    fn take_in(self: &Arc<Self>, bytes: &Bytes, source: RequestSource) -> Reception {
        let mut request = match Message::parse(bytes, &self.settings.message_limits) {
            Ok(Message::Request(request)) if request.method != "ACK" => request,
            // We send no requests, so no response is expected; an ACK is never answered (RFC 3261 17).
            Ok(_) => return Reception::Silence,
            Err(error) => return Self::refuse_malformed(error, &source),
        };
        request.mandatory.record_source(source.address);
        let destination = request.mandatory.response_address(source.address);
        let key = TransactionKey::new(&request, source.address);
        let reply = |bytes| Reception::Reply(Reply { bytes, destination });

        let transaction = match source.transport {
            SipTransport::Udp => match self.transactions.begin(key, Instant::now()) {
                Seen::Never(transaction) => Some(transaction),
                Seen::Proceeding => return Reception::Silence,
                Seen::Completed(answer) => return reply(answer),
            },
            // Streams repeat nothing (RFC 3261 17.2.2: Timer J is zero).
            SipTransport::Tcp | SipTransport::Tls => None,
        };
        let to_tag = key.tag();
        let respond = |status| ResponseBuilder::new(&request.mandatory, status, &to_tag);
        // What is refused here is refused again to a retransmission: the open transaction is dropped, nothing is kept.
        if let Some(response) = self.refuse(&request, &respond) {
            metrics::counter!("mcx_sip_core_requests_total", "status" => response.status().to_string())
                .increment(1);
            return reply(response.finish());
        }
        if request.method == "OPTIONS" {
            metrics::counter!("mcx_sip_core_requests_total", "status" => "200").increment(1);
            return reply(
                respond(200).header("Allow", ALLOW).header("Supported", &SUPPORTED.join(", ")).finish(),
            );
        }
        let Some(permit) = self.guard.admit_request() else {
            metrics::counter!("mcx_sip_core_requests_total", "status" => "503").increment(1);
            let wait = answer::retry_after(self.settings.retry_after);
            return reply(respond(503).header("Retry-After", &wait).finish());
        };
        Reception::Decide(Box::new(Deciding {
            edge: Arc::clone(self),
            request,
            source,
            destination,
            to_tag,
            transaction,
            _permit: permit,
        }))
    }

    fn refuse_malformed(error: ParseError, source: &RequestSource) -> Reception {
        metrics::counter!("mcx_sip_core_malformed_messages_total", "answered" => if error.reply.is_some() { "yes" } else { "no" })
            .increment(1);
        tracing::debug!(source = %source.address, error = %error.kind, "malformed message");
        let Some(mut mandatory) = error.reply else { return Reception::Silence };
        mandatory.record_source(source.address);
        let destination = mandatory.response_address(source.address);
        let response = ResponseBuilder::new(&mandatory, error.kind.status(), &stateless_tag(&mandatory));
        let bytes = response.header("Warning", &answer::warning(&error.kind.to_string())).finish();
        Reception::Reply(Reply { bytes, destination })
    }

    /// The checks of RFC 3261 8.2.1, 8.2.2, 10.3 steps 1 and 2, and 16.3 step 3.
    fn refuse(
        &self,
        request: &Request,
        respond: &impl Fn(u16) -> ResponseBuilder,
    ) -> Option<ResponseBuilder> {
        if !matches!(request.method.as_str(), "REGISTER" | "OPTIONS") {
            return Some(respond(405).header("Allow", ALLOW));
        }
        match SipAddress::parse(&request.uri) {
            Err(AddressError::UnknownScheme) => return Some(respond(416)),
            Err(AddressError::Malformed) => return Some(respond(400)),
            Ok(address) if !self.serves(&address.host, &request.method) => return Some(respond(404)),
            Ok(_) => {}
        }
        match request.header(Name::MAX_FORWARDS).map(|hops| hops.trim().parse::<u8>()) {
            Some(Ok(0)) if request.method == "REGISTER" => return Some(respond(483)),
            Some(Err(_)) => {
                return Some(respond(400).header("Warning", &answer::warning("Max-Forwards is malformed")));
            }
            _ => {}
        }
        let required = request.header_values(Name::REQUIRE).flat_map(|value| value.split(','));
        let unsupported: Vec<&str> = required
            .map(str::trim)
            .filter(|tag| !SUPPORTED.iter().any(|supported| supported.eq_ignore_ascii_case(tag)))
            .collect();
        (!unsupported.is_empty()).then(|| respond(420).header("Unsupported", &unsupported.join(", ")))
    }

    /// An OPTIONS ping may name our address rather than our domain.
    fn serves(&self, host: &str, method: &str) -> bool {
        let is_address = || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        self.settings.domains.iter().any(|domain| domain == host) || (method == "OPTIONS" && is_address())
    }
}

impl Deciding {
    /// Asks the registrar and gives the response, always within the deadline.
    pub async fn decide(mut self) -> Reply {
        let answer = match register::decode(&self.request, self.source.clone()) {
            Ok(request) => {
                let deadline = self.edge.settings.request_deadline;
                let retry_after = self.edge.settings.retry_after;
                tokio::time::timeout(deadline, self.edge.registrar.register(request))
                    .await
                    .unwrap_or(RegisterAnswer::TimedOut { retry_after })
            }
            Err(BadRegister::Malformed(reason)) => RegisterAnswer::BadRequest(reason),
            Err(BadRegister::UnknownIdentity) => RegisterAnswer::Forbidden,
            Err(BadRegister::UnsupportedScheme) => return self.unsupported_scheme(),
        };
        let service_route = &self.edge.settings.service_route;
        let bytes = answer::encode(&answer, &self.request.mandatory, &self.to_tag, service_route);
        self.finish(bytes, answer.status())
    }

    fn unsupported_scheme(&mut self) -> Reply {
        let bytes = ResponseBuilder::new(&self.request.mandatory, 416, &self.to_tag).finish();
        self.finish(bytes, 416)
    }

    fn finish(&mut self, bytes: Bytes, status: u16) -> Reply {
        metrics::counter!("mcx_sip_core_requests_total", "status" => status.to_string()).increment(1);
        if let Some(transaction) = self.transaction.take() {
            transaction.complete(bytes.clone(), Instant::now());
        }
        Reply { bytes, destination: self.destination }
    }
}

/// A tag that does not depend on anything remembered.
fn stateless_tag(mandatory: &MandatoryHeaders) -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(format!("{}\n{}", mandatory.call_id, mandatory.branch()));
    hex::encode(&digest[..8])
}
