//! A SIP core that ends while UEs talk to it.

use crate::home::{Fault, Gate};
use crate::rig::{Rig, VISITOR_IMPI, VISITOR_IMPU};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn register() -> String {
    let realm = "visitors.bravo.example";
    format!(
        "REGISTER sip:{realm} SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.77:4444;branch=z9hG4bKdrain\r\nMax-Forwards: 70\r\n\
         From: <{VISITOR_IMPU}>;tag=f\r\nTo: <{VISITOR_IMPU}>\r\nCall-ID: drain\r\nCSeq: 1 REGISTER\r\n\
         Contact: <sip:alice@192.0.2.77:4444;transport=tcp>\r\n\
         Authorization: Digest username=\"{VISITOR_IMPI}\", realm=\"{realm}\", uri=\"sip:{realm}\", nonce=\"\", response=\"\"\r\n\
         Content-Length: 0\r\n\r\n"
    )
}

#[tokio::test]
async fn request_that_is_being_decided_is_answered_before_the_sip_core_ends() {
    let mut rig = Rig::start_with(|setup| setup.policy.source_deadline = Duration::from_secs(60)).await;
    let registrar = rig.bound.tcp.unwrap();
    let gate = Arc::new(Gate::default());
    rig.visitors.fail_next(Fault::Held(Arc::clone(&gate)));
    let mut idle = TcpStream::connect(registrar).await.unwrap();
    let mut stream = TcpStream::connect(registrar).await.unwrap();
    stream.write_all(register().as_bytes()).await.unwrap();
    gate.asked.notified().await;

    rig.begin_to_end();
    // Who waits for nothing is sent away at once.
    assert_eq!(idle.read(&mut [0; 1]).await.unwrap(), 0);
    gate.open.notify_one();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("SIP/2.0 401 "), "{answer}");
    rig.ended().await;
    assert!(TcpStream::connect(registrar).await.is_err(), "nobody new is let in");
}
