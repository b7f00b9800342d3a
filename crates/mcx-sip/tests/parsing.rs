//! Whole messages: what is read, what is refused, and when a refusal can be answered.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use bytes::Bytes;
use ezk_sip_types::Name;
use mcx_sip::{Message, MessageLimits, ParseError, ParseErrorKind, Request, RequestBuilder, ResponseBuilder};
use proptest::prelude::*;

const REGISTER: &str = "REGISTER sip:bravo.example SIP/2.0\r\n\
    v: SIP/2.0/UDP 192.0.2.9:5070;branch=z9hG4bKx;rport;maddr=203.0.113.7, SIP/2.0/TCP 192.0.2.1;branch=z9hG4bKy\r\n\
    f: <sip:alice@bravo.example>;tag=1\r\n\
    t: <sip:alice@bravo.example>\r\n\
    i: abc@192.0.2.9\r\n\
    CSeq: 7 REGISTER\r\n\
    Subject: one\r\n two\r\n\
    l: 3\r\n\r\nabcdef";

fn parse(text: &str) -> Result<Message, ParseError> {
    Message::parse(&Bytes::from(text.to_owned()), &MessageLimits::default())
}

fn request(text: &str) -> Request {
    match parse(text).unwrap() {
        Message::Request(request) => request,
        Message::Response(_) => panic!("a response"),
    }
}

fn refusal(text: &str) -> (ParseErrorKind, bool) {
    let error = parse(text).unwrap_err();
    (error.kind, error.reply.is_some())
}

#[test]
fn compact_names_folding_and_content_length_are_understood() {
    let request = request(REGISTER);
    assert_eq!((request.method.as_str(), request.uri.as_str()), ("REGISTER", "sip:bravo.example"));
    assert_eq!(request.mandatory.branch(), "z9hG4bKx");
    assert_eq!(request.mandatory.further_vias, ["SIP/2.0/TCP 192.0.2.1;branch=z9hG4bKy"]);
    assert_eq!((request.mandatory.sequence, request.mandatory.call_id.as_str()), (7, "abc@192.0.2.9"));
    assert_eq!(request.header(Name::SUBJECT), Some("one two"));
    assert_eq!(request.body, "abc");
}

#[test]
fn a_response_goes_where_the_request_came_from_and_nowhere_the_sender_names() {
    let source = "198.51.100.4:4242".parse().unwrap();
    let mut mandatory = request(REGISTER).mandatory;
    mandatory.record_source(source);
    assert_eq!(mandatory.response_address(source), source);
    let text = ResponseBuilder::new(&mandatory, 401, "t1").header("X", "a\r\nEvil: b").finish();
    let text = std::str::from_utf8(&text).unwrap();
    assert!(text.starts_with("SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP 192.0.2.9:5070;branch=z9hG4bKx;rport=4242;maddr=203.0.113.7;received=198.51.100.4\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bKy\r\n"), "{text}");
    assert!(text.contains("\r\nTo: <sip:alice@bravo.example>;tag=t1\r\n"));
    assert!(text.contains("\r\nX: a  Evil: b\r\n"));

    let mut without_rport = request(&REGISTER.replace(";rport", ";received=203.0.113.7")).mandatory;
    without_rport.record_source(source);
    assert_eq!(without_rport.response_address(source), "198.51.100.4:5070".parse().unwrap());
}

#[test]
fn a_to_tag_of_the_request_is_kept() {
    let request =
        request(&REGISTER.replace("t: <sip:alice@bravo.example>", "t: <sip:alice@bravo.example>;tag=old"));
    let text = ResponseBuilder::new(&request.mandatory, 200, "new").finish();
    assert!(!std::str::from_utf8(&text).unwrap().contains("tag=new"));
}

#[test]
fn requests_written_by_us_are_read_by_us() {
    let bytes = RequestBuilder::new("OPTIONS", "sip:bravo.example")
        .header("Via", "SIP/2.0/TCP 192.0.2.9;branch=z9hG4bK1")
        .header("From", "<sip:a@b>;tag=1")
        .header("To", "<sip:a@b>")
        .header("Call-ID", "1")
        .header("CSeq", "1 OPTIONS")
        .finish();
    assert!(matches!(Message::parse(&bytes, &MessageLimits::default()), Ok(Message::Request(_))));
}

#[test]
fn refusals_are_answered_when_the_request_shows_how() {
    let cases = [
        ("SIP/2.0\r\n", "SIP/3.0\r\n", (ParseErrorKind::Version, true)),
        ("l: 3", "l: 7", (ParseErrorKind::Truncated, true)),
        ("l: 3", "l: -3", (ParseErrorKind::Malformed, true)),
        ("l: 3", "l: 3\r\nl: 3", (ParseErrorKind::Malformed, true)),
        ("Subject: one", "no colon at all", (ParseErrorKind::Malformed, true)),
        ("CSeq: 7 REGISTER", "CSeq: 7 OPTIONS", (ParseErrorKind::Malformed, true)),
        ("CSeq: 7 REGISTER", "CSeq: 4294967296 REGISTER", (ParseErrorKind::Malformed, false)),
        ("CSeq: 7 REGISTER", "CSeq: +7 REGISTER", (ParseErrorKind::Malformed, false)),
        ("i: abc@192.0.2.9", "i: a\r\ni: b", (ParseErrorKind::Malformed, false)),
        ("v: SIP", "v: SAP", (ParseErrorKind::Malformed, false)),
        ("sip:bravo.example SIP", "sip:bravo.example  SIP", (ParseErrorKind::Malformed, false)),
        ("Subject: one", "Subject: \u{0}", (ParseErrorKind::Malformed, true)),
    ];
    for (from, to, expected) in cases {
        assert_eq!(refusal(&REGISTER.replacen(from, to, 1)), expected, "{to:?}");
    }
}

#[test]
fn ack_and_responses_are_never_answered() {
    let ack = REGISTER.replace("REGISTER", "ACK").replace("l: 3", "l: 9");
    assert_eq!(refusal(&ack), (ParseErrorKind::Truncated, false));
    let response =
        REGISTER.replace("REGISTER sip:bravo.example SIP/2.0", "SIP/2.0 200 OK").replace("l: 3", "l: 9");
    assert_eq!(refusal(&response), (ParseErrorKind::Truncated, false));
}

#[test]
fn limits_hold() {
    let many = REGISTER.replace("Subject: one", "X: y\r\n".repeat(101).trim_end());
    assert_eq!(refusal(&many), (ParseErrorKind::TooLarge, true));
    let long = REGISTER.replace("one", &"o".repeat(5000));
    assert_eq!(refusal(&long), (ParseErrorKind::TooLarge, true));
    assert_eq!(refusal(&"x".repeat(16 * 1024 + 1)), (ParseErrorKind::TooLarge, false));
}

proptest! {
    #[test]
    fn reading_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Message::parse(&Bytes::from(bytes), &MessageLimits::default());
    }

    #[test]
    fn reading_a_damaged_message_never_panics(
        changes in proptest::collection::vec((0..REGISTER.len(), any::<u8>(), 0..3_u8), 1..8)
    ) {
        let mut bytes = REGISTER.as_bytes().to_vec();
        for (position, byte, kind) in changes {
            let position = position.min(bytes.len() - 1);
            match kind {
                0 => bytes[position] = byte,
                1 => bytes.insert(position, byte),
                _ => { bytes.remove(position); }
            }
        }
        if let Ok(Message::Request(request)) = Message::parse(&Bytes::from(bytes), &MessageLimits::default()) {
            let reply = ResponseBuilder::new(&request.mandatory, 200, "t").finish();
            prop_assert!(matches!(Message::parse(&reply, &MessageLimits::default()), Ok(Message::Response(_))));
        }
    }
}
