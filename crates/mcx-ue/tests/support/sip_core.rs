//! A registrar that challenges every registration with a fresh vector and believes every answer.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use ezk_sip_types::Name;
use mcx_aka::digest::nonce_from;
use mcx_aka::{Amf, IndexValue, Milenage, Opc, OperatorKey, Rand, Sequence, Sqn, SubscriberKey};
use mcx_sip::{DigestChallenge, DigestCredentials, Message, MessageLimits, Request, ResponseBuilder};
use tokio::net::UdpSocket;
use tokio_util::task::AbortOnDropHandle;

pub fn keys() -> (SubscriberKey, Opc) {
    let key = SubscriberKey::from_hex("fec86ba6eb707ed08905757b1bb44b8f").unwrap();
    let opc = Opc::derive(&key, &OperatorKey::from_hex("dbc59adcb6f9a0ef735477b7fadf8374").unwrap());
    (key, opc)
}

/// A registration that was answered with 200: who, for how many seconds, and the contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registered {
    pub impi: String,
    pub expires: String,
    pub contact: String,
}

#[derive(Default)]
pub struct Registrar {
    pub registered: Vec<Registered>,
    pub challenges: u64,
    /// Answers 504, as when the primary is away.
    pub is_away: bool,
}

#[derive(Clone)]
pub struct SipCore {
    pub address: SocketAddr,
    pub state: Arc<Mutex<Registrar>>,
    _serving: Arc<AbortOnDropHandle<()>>,
}

impl SipCore {
    /// A registrar whose vectors are of this IND.
    pub async fn start(index: u8) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let state: Arc<Mutex<Registrar>> = Arc::default();
        let serving = tokio::spawn(serve(socket, Arc::clone(&state), index));
        Self { address, state, _serving: Arc::new(AbortOnDropHandle::new(serving)) }
    }

    /// `impi expires` of every registration.
    pub fn log(&self) -> Vec<String> {
        let state = self.state.lock().unwrap();
        state
            .registered
            .iter()
            .map(|registered| format!("{} {}", registered.impi, registered.expires))
            .collect()
    }
}

async fn serve(socket: UdpSocket, state: Arc<Mutex<Registrar>>, index: u8) {
    let mut buffer = vec![0; 65_535];
    loop {
        let (length, source) = socket.recv_from(&mut buffer).await.unwrap();
        let bytes = Bytes::copy_from_slice(&buffer[..length]);
        let Ok(Message::Request(request)) = Message::parse(&bytes, &MessageLimits::default()) else {
            continue;
        };
        let answer = answer(&request, &mut state.lock().unwrap(), index);
        socket.send_to(&answer, source).await.unwrap();
    }
}

fn answer(request: &Request, state: &mut Registrar, index: u8) -> Bytes {
    let credentials = DigestCredentials::parse(request.header(Name::AUTHORIZATION).unwrap()).unwrap();
    let response = |status| ResponseBuilder::new(&request.mandatory, status, "t");
    if state.is_away {
        return response(504).finish();
    }
    if credentials.response.is_empty() {
        state.challenges += 1;
        return response(401)
            .header("WWW-Authenticate", &challenge(&credentials.realm, state.challenges, index))
            .finish();
    }
    let contact = request.header(Name::CONTACT).unwrap().to_owned();
    let expires = request.header(Name::EXPIRES).unwrap().to_owned();
    let registered =
        Registered { impi: credentials.username, expires: expires.clone(), contact: contact.clone() };
    state.registered.push(registered);
    if expires == "0" {
        return response(200).finish();
    }
    response(200).header("Contact", &format!("{contact};expires={expires}")).finish()
}

fn challenge(realm: &str, sequence: u64, index: u8) -> String {
    let (key, opc) = keys();
    let sqn = Sqn::new(Sequence::new(sequence).unwrap(), IndexValue::new(index).unwrap());
    let vector = Milenage::new(&key, &opc).authentication_vector(Rand([9; 16]), sqn, Amf([0, 0]));
    let challenge = DigestChallenge {
        realm: realm.to_owned(),
        nonce: nonce_from(&vector.rand, &vector.autn, &[]).unwrap(),
        algorithm: "AKAv1-MD5".to_owned(),
        qop: vec!["auth".to_owned()],
        opaque: None,
        stale: false,
    };
    challenge.to_string()
}
