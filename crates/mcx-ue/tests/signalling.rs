//! The signalling user agent before a SIP core that is a script. The real one is tested in `services/sip-core`.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use bytes::Bytes;
use ezk_sip_types::Name;
use mcx_aka::digest::nonce_from;
use mcx_aka::isim::{Isim, SequenceArray};
use mcx_aka::{Amf, IndexValue, Milenage, Opc, OperatorKey, Rand, Sequence, Sqn, SubscriberKey};
use mcx_sip::{DigestChallenge, DigestCredentials, Message, MessageLimits, Request, ResponseBuilder};
use mcx_ue::{
    Direction, Randomness, SignallingError, SignallingSettings, SignallingTransport, SignallingUserAgent,
};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

const REALM: &str = "visitors.bravo.example";

fn keys() -> (SubscriberKey, Opc) {
    let key = SubscriberKey::from_hex("fec86ba6eb707ed08905757b1bb44b8f").unwrap();
    let opc = Opc::derive(&key, &OperatorKey::from_hex("dbc59adcb6f9a0ef735477b7fadf8374").unwrap());
    (key, opc)
}

fn isim() -> Isim {
    let (key, opc) = keys();
    Isim::new(&key, &opc)
}

fn randomness() -> Randomness {
    let next = AtomicU64::new(1);
    Arc::new(move || u128::from(next.fetch_add(1, Ordering::Relaxed)) << 64 | 0x9e37_79b9_7f4a_7c15)
}

/// A challenge with this SEQ.
fn challenge(sequence: u64) -> DigestChallenge {
    let (key, opc) = keys();
    let sqn = Sqn::new(Sequence::new(sequence).unwrap(), IndexValue::new(1).unwrap());
    let vector = Milenage::new(&key, &opc).authentication_vector(Rand([9; 16]), sqn, Amf([0, 0]));
    DigestChallenge {
        realm: REALM.to_owned(),
        nonce: nonce_from(&vector.rand, &vector.autn, &[]).unwrap(),
        algorithm: "AKAv1-MD5".to_owned(),
        qop: vec!["auth".to_owned()],
        opaque: Some("o".to_owned()),
        stale: false,
    }
}

struct Script {
    socket: UdpSocket,
}

impl Script {
    async fn new() -> (Self, SocketAddr) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        (Self { socket }, address)
    }

    async fn receive(&self) -> (Request, SocketAddr) {
        let mut buffer = vec![0; 65_535];
        let (length, source) = self.socket.recv_from(&mut buffer).await.unwrap();
        let bytes = Bytes::copy_from_slice(&buffer[..length]);
        match Message::parse(&bytes, &MessageLimits::default()).unwrap() {
            Message::Request(request) => (request, source),
            Message::Response(_) => panic!("a response"),
        }
    }

    async fn answer(&self, (request, source): &(Request, SocketAddr), status: u16, headers: &[(&str, &str)]) {
        let mut response = ResponseBuilder::new(&request.mandatory, status, "t");
        for (name, value) in headers {
            response = response.header(name, value);
        }
        self.socket.send_to(&response.finish(), source).await.unwrap();
    }
}

async fn agent(registrar: SocketAddr) -> SignallingUserAgent {
    let mut settings = SignallingSettings::new(
        format!("alice@{REALM}").parse().unwrap(),
        format!("sip:alice@{REALM}").parse().unwrap(),
        registrar,
        SignallingTransport::Udp,
    );
    settings.response_deadline = Duration::from_secs(5);
    SignallingUserAgent::connect(settings, isim(), randomness()).await.unwrap()
}

fn credentials(request: &Request) -> DigestCredentials {
    DigestCredentials::parse(request.header(Name::AUTHORIZATION).unwrap()).unwrap()
}

#[tokio::test]
async fn the_first_register_names_the_partner_identities_and_proves_nothing() {
    let (script, address) = Script::new().await;
    let mut agent = agent(address).await;
    let (result, ()) = tokio::join!(agent.register(), async {
        let received = script.receive().await;
        let credentials = credentials(&received.0);
        assert_eq!(received.0.uri, "sip:visitors.bravo.example");
        assert_eq!(
            (credentials.username.as_str(), credentials.realm.as_str()),
            ("alice@visitors.bravo.example", REALM)
        );
        assert_eq!((credentials.nonce.as_str(), credentials.response.as_str()), ("", ""));
        assert!(received.0.header(Name::CONTACT).unwrap().contains(";+g.3gpp.mcptt;"));
        script.answer(&received, 403, &[]).await;
    });
    assert!(matches!(result, Err(SignallingError::Forbidden)));
}

#[tokio::test]
async fn a_lost_datagram_is_sent_again_and_answers_to_others_are_ignored() {
    let (script, address) = Script::new().await;
    let mut agent = agent(address).await;
    let directions: Arc<Mutex<Vec<Direction>>> = Arc::default();
    let seen = Arc::clone(&directions);
    agent.observe(Arc::new(move |event| seen.lock().unwrap().push(event.direction)));
    let (result, ()) = tokio::join!(agent.register(), async {
        let (first, _) = script.receive().await;
        let again = script.receive().await;
        assert_eq!(again.0.mandatory.branch(), first.mandatory.branch());
        let mut other = again.clone();
        other.0.mandatory.top_via.params.push_or_edit("branch", "z9hG4bKother");
        script.answer(&other, 403, &[]).await;
        script.answer(&again, 100, &[]).await;
        script.answer(&again, 503, &[("Retry-After", "120 (maintenance);duration=5")]).await;
    });
    let Err(SignallingError::ServerUnavailable { status: 503, retry_after }) = result else {
        panic!("{result:?}")
    };
    assert_eq!(retry_after, Some(Duration::from_secs(120)));
    assert_eq!(*directions.lock().unwrap(), [Direction::Sent, Direction::Retransmitted, Direction::Received]);
}

#[tokio::test]
async fn nobody_there_is_a_time_out() {
    let (script, address) = Script::new().await;
    let mut settings = SignallingSettings::new(
        format!("alice@{REALM}").parse().unwrap(),
        format!("sip:alice@{REALM}").parse().unwrap(),
        address,
        SignallingTransport::Udp,
    );
    settings.response_deadline = Duration::from_millis(30);
    let mut agent = SignallingUserAgent::connect(settings, isim(), randomness()).await.unwrap();
    assert!(matches!(agent.register().await, Err(SignallingError::TimedOut(_))));
    drop(script);
}

#[tokio::test]
async fn sequence_numbers_are_kept_before_the_answer_leaves() {
    let (script, address) = Script::new().await;
    let mut agent = agent(address).await;
    agent.keep_sequences_with(Box::new(|_| Err(io::Error::from(io::ErrorKind::StorageFull))));
    let (result, ()) = tokio::join!(agent.register(), async {
        let received = script.receive().await;
        script.answer(&received, 401, &[("WWW-Authenticate", &challenge(5).to_string())]).await;
    });
    assert!(matches!(result, Err(SignallingError::SequencesNotKept(_))));
    let nothing = script.socket.try_recv(&mut [0; 1]).unwrap_err();
    assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
}

#[tokio::test]
async fn an_isim_that_remembers_calls_an_old_challenge_stale() {
    let (script, address) = Script::new().await;
    let mut before = agent(address).await;
    let answered = async {
        let received = script.receive().await;
        script.answer(&received, 401, &[("WWW-Authenticate", &challenge(5).to_string())]).await;
        let received = script.receive().await;
        script.answer(&received, 200, &[]).await;
    };
    let (registered, ()) = tokio::join!(before.register(), answered);
    assert_eq!(registered.unwrap().challenges_answered, 1);
    let remembered = before.sequences().to_integers();

    let settings = SignallingSettings::new(
        format!("alice@{REALM}").parse().unwrap(),
        format!("sip:alice@{REALM}").parse().unwrap(),
        address,
        SignallingTransport::Udp,
    );
    let isim = isim().with_sequences(SequenceArray::try_from(&remembered[..]).unwrap());
    let mut after = SignallingUserAgent::connect(settings, isim, randomness()).await.unwrap();
    let (result, ()) = tokio::join!(after.register(), async {
        for has_auts in [false, true] {
            let received = script.receive().await;
            assert_eq!(credentials(&received.0).auts.is_some(), has_auts);
            script.answer(&received, 401, &[("WWW-Authenticate", &challenge(5).to_string())]).await;
        }
    });
    assert!(matches!(result, Err(SignallingError::ResynchronisationFailed)), "{result:?}");
}

#[tokio::test]
async fn challenges_that_no_isim_can_answer_are_refused() {
    let of_other_realm = DigestChallenge { realm: "alpha.example".to_owned(), ..challenge(5) };
    let of_other_algorithm = DigestChallenge { algorithm: "MD5".to_owned(), ..challenge(5) };
    let without_vector = DigestChallenge { nonce: "c2hvcnQ=".to_owned(), ..challenge(5) };
    for offered in [of_other_realm, of_other_algorithm, without_vector] {
        let (script, address) = Script::new().await;
        let mut agent = agent(address).await;
        let (result, ()) = tokio::join!(agent.register(), async {
            let received = script.receive().await;
            script.answer(&received, 401, &[("WWW-Authenticate", &offered.to_string())]).await;
        });
        assert!(
            matches!(
                result,
                Err(SignallingError::Malformed(_) | SignallingError::AlgorithmNotAccepted { .. })
            ),
            "{result:?}"
        );
    }
}

#[tokio::test]
async fn a_right_answer_that_is_refused_says_so() {
    let (script, address) = Script::new().await;
    let mut agent = agent(address).await;
    let (result, ()) = tokio::join!(agent.register(), async {
        for sequence in [5, 6] {
            let received = script.receive().await;
            script.answer(&received, 401, &[("WWW-Authenticate", &challenge(sequence).to_string())]).await;
        }
    });
    assert!(matches!(result, Err(SignallingError::ResponseRefused)));
}

/// Takes one registration on a new connection, and closes it then.
async fn register_over_tcp(listener: &TcpListener, sequence: u64) {
    let (mut stream, _) = listener.accept().await.unwrap();
    for status in [401, 200] {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            bytes.push(stream.read_u8().await.unwrap());
        }
        let Ok(Message::Request(request)) = Message::parse(&bytes.into(), &MessageLimits::default()) else {
            panic!("no request");
        };
        let contact = format!("{};expires=600", request.header(Name::CONTACT).unwrap());
        let challenge = challenge(sequence).to_string();
        let response = ResponseBuilder::new(&request.mandatory, status, "t");
        let response = match status {
            401 => response.header("WWW-Authenticate", &challenge),
            _ => response.header("Contact", &contact),
        };
        stream.write_all(&response.finish()).await.unwrap();
    }
}

#[tokio::test]
async fn sip_core_that_has_closed_the_connection_meanwhile_is_connected_to_anew() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = SignallingSettings::new(
        format!("alice@{REALM}").parse().unwrap(),
        format!("sip:alice@{REALM}").parse().unwrap(),
        listener.local_addr().unwrap(),
        SignallingTransport::Tcp,
    );
    let mut agent = SignallingUserAgent::connect(settings, isim(), randomness()).await.unwrap();
    for sequence in [5, 6] {
        let (registered, ()) = tokio::join!(agent.register(), register_over_tcp(&listener, sequence));
        assert_eq!(registered.unwrap().challenges_answered, 1);
    }
    drop(listener);
    let refused = agent.register().await;
    assert!(matches!(refused, Err(SignallingError::Connection(_))), "{refused:?}");
}
