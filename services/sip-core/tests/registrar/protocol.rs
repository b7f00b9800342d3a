//! The rules of RFC 3261 8.2 that concern any server, and the limits of the edge.

use crate::home::Fault;
use crate::raw::RawUe;
use crate::rig::Rig;
use ezk_sip_types::Name;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const DOMAIN: &str = "sip:visitors.bravo.example";

#[tokio::test]
async fn options_is_answered_and_other_methods_are_not_allowed() {
    let rig = Rig::start().await;
    let mut ue = RawUe::new(&rig).await;
    for (method, expected) in
        [("OPTIONS", 200), ("INVITE", 405), ("MESSAGE", 405), ("REGISTERED", 405), ("register", 405)]
    {
        let request = ue.request(method, DOMAIN, &[]);
        let response = ue.exchange(&request).await;
        assert_eq!(
            (response.status, response.header(Name::ALLOW)),
            (expected, Some("REGISTER, OPTIONS")),
            "{method}"
        );
    }
}

#[tokio::test]
async fn an_ack_is_never_answered() {
    let rig = Rig::start().await;
    let mut ue = RawUe::new(&rig).await;
    let ack = ue.request("ACK", DOMAIN, &[]);
    ue.send(&ack).await;
    let options = ue.request("OPTIONS", DOMAIN, &[]);
    assert_eq!(ue.exchange(&options).await.mandatory.sequence_method, "OPTIONS");
}

#[tokio::test]
async fn what_no_server_here_can_do_is_refused_with_its_own_status() {
    let rig = Rig::start().await;
    let mut ue = RawUe::new(&rig).await;
    type Headers = &'static [(&'static str, &'static str)];
    let cases: [(&str, Headers, u16); 7] = [
        ("tel:+4930123456", &[], 416),
        ("sip:", &[], 400),
        ("sip:alpha.example", &[], 404),
        (DOMAIN, &[("Max-Forwards", "0")], 483),
        (DOMAIN, &[("Max-Forwards", "many")], 400),
        (DOMAIN, &[("Require", "path, gruu"), ("Require", "outbound")], 420),
        (DOMAIN, &[("Require", "path")], 401),
    ];
    for (uri, headers, expected) in cases {
        let request = ue.request("REGISTER", uri, headers);
        let response = ue.exchange(&request).await;
        assert_eq!(response.status, expected, "{uri} {headers:?}");
        if expected == 420 {
            assert_eq!(response.header(Name::UNSUPPORTED), Some("gruu, outbound"));
        }
    }
    let version = ue.register(&[]).replace("SIP/2.0\r\nVia", "SIP/7.0\r\nVia");
    assert_eq!(ue.exchange(&version).await.status, 505);
}

#[tokio::test]
async fn the_sender_cannot_choose_another_address_for_the_answer() {
    let rig = Rig::start().await;
    let mut ue = RawUe::new(&rig).await;
    let options = ue.request("OPTIONS", DOMAIN, &[]);
    let answer =
        ue.exchange(&options.replace(";rport", ";rport=9;maddr=203.0.113.9;received=203.0.113.9")).await;
    let local = ue.socket.local_addr().unwrap();
    let parameter = |name: &str| answer.mandatory.top_via.params.get_val(name).unwrap().to_string();
    assert_eq!(
        (parameter("received"), parameter("rport")),
        ("127.0.0.1".to_owned(), local.port().to_string())
    );
}

#[tokio::test]
async fn requests_beyond_what_can_be_decided_at_once_are_told_to_come_back() {
    let rig = Rig::start_with(|setup| {
        setup.edge.edge_limits.requests_in_flight = 1;
        setup.policy.source_deadline = Duration::from_secs(60);
    })
    .await;
    rig.visitors.fail_next(Fault::Silence);
    let mut waiting = RawUe::new(&rig).await;
    let request = waiting.register(&[]);
    waiting.send(&request).await;
    // The answers over one socket come in order: once OPTIONS is answered, the REGISTER before it was taken in.
    let options = waiting.request("OPTIONS", DOMAIN, &[]);
    assert_eq!(waiting.exchange(&options).await.status, 200);
    let mut refused = RawUe::new(&rig).await;
    let request = refused.register(&[]);
    let response = refused.exchange(&request).await;
    assert_eq!((response.status, response.header(Name::RETRY_AFTER)), (503, Some("7")));
    assert_eq!(rig.edge.live_counts().requests_in_flight, 1);
}

#[tokio::test]
async fn a_register_is_answered_within_the_deadline_of_the_edge() {
    let rig = Rig::start_with(|setup| {
        setup.policy.source_deadline = Duration::from_secs(60);
        setup.edge.request_deadline = Duration::from_millis(50);
    })
    .await;
    rig.visitors.fail_next(Fault::Silence);
    let mut ue = RawUe::new(&rig).await;
    let request = ue.register(&[]);
    assert_eq!(ue.exchange(&request).await.status, 504);
}

#[tokio::test]
async fn completed_transactions_are_bounded() {
    let rig = Rig::start_with(|setup| setup.edge.edge_limits.completed_transactions = 4).await;
    let mut ue = RawUe::new(&rig).await;
    for _ in 0..10 {
        ue.challenged().await;
    }
    assert_eq!(rig.edge.live_counts().transactions, 4);
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_and_the_others_stay() {
    let rig = Rig::start_with(|setup| setup.edge.edge_limits.connections_per_address = 2).await;
    let address = rig.bound.tcp.unwrap();
    let mut open = [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
    for stream in &mut open {
        assert_eq!(ping(stream).await, Some(2));
    }
    assert_eq!(rig.edge.live_counts().connections, 2);
    assert_eq!(ping(&mut TcpStream::connect(address).await.unwrap()).await, None);
    assert_eq!(ping(&mut open[0]).await, Some(2));
}

#[tokio::test]
async fn a_handshake_that_never_ends_harms_nobody_else_and_is_cut() {
    let rig = Rig::start_with(|setup| setup.timeouts.handshake = Duration::from_millis(400)).await;
    let mut silent = TcpStream::connect(rig.bound.tls.unwrap()).await.unwrap();
    rig.visitor_agent("tls").await.register().await.unwrap();
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn an_idle_connection_is_closed_even_if_it_drips() {
    let rig = Rig::start_with(|setup| setup.timeouts.idle = Duration::from_millis(300)).await;
    let mut stream = TcpStream::connect(rig.bound.tcp.unwrap()).await.unwrap();
    stream.write_all(b"REGISTER sip:").await.unwrap();
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn several_requests_on_one_connection_are_answered() {
    let rig = Rig::start().await;
    let mut ue = RawUe::new(&rig).await;
    let mut stream = TcpStream::connect(rig.bound.tcp.unwrap()).await.unwrap();
    let both = ue.request("OPTIONS", DOMAIN, &[]) + &ue.request("OPTIONS", DOMAIN, &[]);
    stream.write_all(both.as_bytes()).await.unwrap();
    let mut received = String::new();
    while received.matches("SIP/2.0 200 OK\r\n").count() < 2 {
        let mut buffer = [0; 1024];
        let length = stream.read(&mut buffer).await.unwrap();
        assert_ne!(length, 0, "{received}");
        received.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
    }
}

/// Sends a keep-alive; the number of bytes that come back, nothing when the connection is closed.
async fn ping(stream: &mut TcpStream) -> Option<usize> {
    stream.write_all(b"\r\n\r\n").await.ok()?;
    let length = stream.read(&mut [0; 8]).await.unwrap_or(0);
    (length > 0).then_some(length)
}
