//! A UE that writes its own SIP, so that it can do what no user agent would.

use crate::home::isim;
use crate::rig::{Rig, VISITOR_IMPI, VISITOR_IMPU};
use bytes::Bytes;
use ezk_sip_types::Name;
use mcx_aka::Auts;
use mcx_aka::digest::{self, DigestAlgorithm, DigestInput, DigestKey, QopParameters, QualityOfProtection};
use mcx_aka::isim::Isim;
use mcx_sip::{DigestChallenge, DigestCredentials, Message, MessageLimits, Response};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::UdpSocket;

/// Longer than anything here takes; a test that waits for it fails.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct RawUe {
    pub(crate) socket: UdpSocket,
    pub(crate) isim: Isim,
    pub(crate) impi: String,
    pub(crate) impu: String,
    pub(crate) call_id: String,
    sequence: u32,
}

impl RawUe {
    pub(crate) async fn new(rig: &Rig) -> Self {
        Self::at(rig.bound.udp.unwrap()).await
    }

    pub(crate) async fn at(registrar: SocketAddr) -> Self {
        Self::from("127.0.0.1", registrar).await
    }

    /// A UE at another address.
    pub(crate) async fn from(address: &str, registrar: SocketAddr) -> Self {
        let socket = UdpSocket::bind((address, 0)).await.unwrap();
        socket.connect(registrar).await.unwrap();
        Self {
            socket,
            isim: isim(),
            impi: VISITOR_IMPI.to_owned(),
            impu: VISITOR_IMPU.to_owned(),
            call_id: "call-1".to_owned(),
            sequence: 0,
        }
    }

    /// A request with these headers besides the mandatory ones.
    pub(crate) fn request(&mut self, method: &str, uri: &str, headers: &[(&str, &str)]) -> String {
        self.sequence += 1;
        let mut text = format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.77:4444;branch=z9hG4bK{call}-{number};rport\r\n\
             From: <{impu}>;tag=f\r\nTo: <{impu}>\r\nCall-ID: {call}\r\nCSeq: {number} {method}\r\n",
            call = self.call_id,
            number = self.sequence,
            impu = self.impu,
        );
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text + "Content-Length: 0\r\n\r\n"
    }

    pub(crate) fn register(&mut self, headers: &[(&str, &str)]) -> String {
        self.request("REGISTER", "sip:visitors.bravo.example", headers)
    }

    pub(crate) async fn send(&self, text: &str) {
        self.socket.send(text.as_bytes()).await.unwrap();
    }

    pub(crate) async fn receive_bytes(&self) -> Bytes {
        let mut buffer = vec![0; 65_535];
        let length = tokio::time::timeout(PATIENCE, self.socket.recv(&mut buffer)).await.unwrap().unwrap();
        Bytes::copy_from_slice(&buffer[..length])
    }

    pub(crate) async fn receive(&self) -> Response {
        match Message::parse(&self.receive_bytes().await, &MessageLimits::default()).unwrap() {
            Message::Response(response) => response,
            Message::Request(request) => panic!("{request:?}"),
        }
    }

    /// Sends a request, again as long as no answer comes, as datagrams may be lost.
    pub(crate) async fn exchange(&self, text: &str) -> Response {
        let asked = async {
            loop {
                self.send(text).await;
                if let Ok(response) = tokio::time::timeout(mcx_sip::TIMER_T1, self.receive()).await {
                    return response;
                }
            }
        };
        tokio::time::timeout(PATIENCE, asked).await.unwrap()
    }

    /// Sends a first REGISTER and gives the challenge.
    pub(crate) async fn challenged(&mut self) -> DigestChallenge {
        let first = self.register(&[("Authorization", &self.blank().to_string())]);
        let response = self.exchange(&first).await;
        assert_eq!(response.status, 401);
        challenge(&response)
    }

    pub(crate) fn blank(&self) -> DigestCredentials {
        DigestCredentials {
            username: self.impi.clone(),
            realm: self.impi.split('@').nth(1).unwrap().to_owned(),
            uri: "sip:visitors.bravo.example".to_owned(),
            ..DigestCredentials::default()
        }
    }

    /// The right answer to a challenge.
    pub(crate) fn answer(&mut self, challenge: &DigestChallenge) -> DigestCredentials {
        let (rand, autn, _) = digest::parse_nonce(&challenge.nonce).unwrap();
        let algorithm: DigestAlgorithm = challenge.algorithm.parse().unwrap();
        let key = self.isim.authenticate(&rand, &autn).unwrap().digest_key(algorithm);
        self.sign(challenge, &key)
    }

    /// An answer made with any key.
    pub(crate) fn sign(&self, challenge: &DigestChallenge, key: &DigestKey) -> DigestCredentials {
        let algorithm: DigestAlgorithm = challenge.algorithm.parse().unwrap();
        let qop = QopParameters {
            quality: QualityOfProtection::Authentication,
            nonce_count: "00000001",
            cnonce: "0a4f113b",
        };
        let blank = self.blank();
        let input = DigestInput {
            username: &blank.username,
            realm: &blank.realm,
            method: "REGISTER",
            uri: &blank.uri,
            nonce: &challenge.nonce,
            qop: Some(qop),
        };
        DigestCredentials {
            response: digest::response(&input, algorithm, key).unwrap(),
            nonce: challenge.nonce.clone(),
            algorithm: Some(challenge.algorithm.clone()),
            opaque: challenge.opaque.clone(),
            qop: Some("auth".to_owned()),
            nc: Some("00000001".to_owned()),
            cnonce: Some("0a4f113b".to_owned()),
            ..blank
        }
    }

    /// An answer with AUTS.
    pub(crate) fn synchronisation_failure(
        &self,
        challenge: &DigestChallenge,
        auts: &Auts,
    ) -> DigestCredentials {
        let credentials = self.sign(challenge, &DigestKey::empty_for_resynchronisation());
        DigestCredentials { auts: Some(auts.to_base64()), ..credentials }
    }

    /// Registers with these headers, authenticating on the way.
    pub(crate) async fn registered(&mut self, headers: &[(&str, &str)]) -> Response {
        let challenge = self.challenged().await;
        let authorization = self.answer(&challenge).to_string();
        let mut headers = headers.to_vec();
        headers.push(("Authorization", &authorization));
        let request = self.register(&headers);
        self.exchange(&request).await
    }
}

pub(crate) fn challenge(response: &Response) -> DigestChallenge {
    DigestChallenge::parse(response.header(Name::WWW_AUTHENTICATE).unwrap()).unwrap()
}
