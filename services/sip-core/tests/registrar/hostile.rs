//! Malformed, oversized, truncated and mutated SIP: the server stays alive, and nothing of it stays with the server.

use crate::raw::RawUe;
use crate::rig::Rig;
use proptest::prelude::*;
use std::path::PathBuf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const DOMAIN: &str = "sip:visitors.bravo.example";

/// Every file of `tests/corpus`, with its name.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_str().unwrap().to_owned(), std::fs::read(path).unwrap())
        })
        .collect();
    files.sort();
    assert!(files.len() >= 30, "the corpus is not there");
    files
}

#[tokio::test]
async fn the_corpus_over_udp_is_answered_as_its_file_names_say() {
    let rig = Rig::start().await;
    for (name, bytes) in corpus() {
        let mut ue = RawUe::new(&rig).await;
        ue.socket.send(&bytes).await.unwrap();
        // OPTIONS behind it is answered by the same loop, after it: what comes first tells whether there was an answer.
        ue.call_id = "probe".to_owned();
        let options = ue.request("OPTIONS", DOMAIN, &[]);
        let expected = name.split('-').next().unwrap();
        ue.send(&options).await;
        let mut first = ue.receive().await;
        if expected != "silent" {
            let (number, is_probe) = (first.status, first.mandatory.call_id == "probe");
            if is_probe {
                // A REGISTER is decided beside the loop, so its answer may come second.
                first = ue.receive().await;
                assert_eq!(first.status.to_string(), expected, "{name}");
            } else {
                assert_eq!(number.to_string(), expected, "{name}");
                first = ue.receive().await;
            }
        }
        assert!(first.mandatory.call_id == "probe" || expected != "silent", "{name} was answered");
    }
    assert_eq!(rig.edge.live_counts().requests_in_flight, 0);
}

#[tokio::test]
async fn the_corpus_over_tcp_leaves_no_connection_behind() {
    let rig = Rig::start().await;
    for (name, bytes) in corpus() {
        let mut stream = TcpStream::connect(rig.bound.tcp.unwrap()).await.unwrap();
        // The server may close before it has read all.
        let _ = stream.write_all(&bytes).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(answer.is_empty() || answer.starts_with(b"SIP/2.0 ") || answer == b"\r\n", "{name}");
    }
    let mut ue = RawUe::new(&rig).await;
    let options = ue.request("OPTIONS", DOMAIN, &[]);
    assert_eq!(ue.exchange(&options).await.status, 200);
    // A connection is counted until its task ends, which closing it brings about.
    while rig.edge.live_counts().connections > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(rig.edge.live_counts().requests_in_flight, 0);
}

/// Changes to a message: where, what, how.
fn mutations() -> impl Strategy<Value = Vec<(prop::sample::Index, u8, u8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..5_u8), 1..12)
}

fn mutate(message: &str, mutations: &[(prop::sample::Index, u8, u8)]) -> Vec<u8> {
    let mut bytes = message.as_bytes().to_vec();
    for (index, byte, kind) in mutations {
        let at = index.index(bytes.len());
        match kind {
            0 => bytes[at] = *byte,
            1 => bytes.insert(at, *byte),
            2 if bytes.len() > 1 => drop(bytes.remove(at)),
            2 => {}
            3 => bytes.truncate(at + 1),
            _ => {
                let copy = bytes[at..(at + 40).min(bytes.len())].to_vec();
                bytes.splice(at..at, copy);
            }
        }
    }
    bytes
}

#[test]
fn mutated_registers_kill_nothing_and_leave_no_more_than_the_limits_allow() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (rig, mut ue) = runtime.block_on(async {
        let rig = Rig::start_with(|setup| setup.edge.edge_limits.completed_transactions = 16).await;
        let ue = RawUe::new(&rig).await;
        (rig, ue)
    });
    let authorization = r#"Digest username="alice@visitors.bravo.example", realm="visitors.bravo.example", nonce="n3yNAhrM9NshPM/wx/caaq5KOptMl3JcnKvD6ZuvcoE=", uri="sip:visitors.bravo.example", response="962256d7ae0133577d1ade4e5c6af138", algorithm=AKAv1-MD5, qop=auth, nc=00000001, cnonce="0a4f113b", auts="Q66q3dM6n4vnd00Jg0A=""#;
    let valid = ue.register(&[
        ("Max-Forwards", "70"),
        ("Contact", "\"A\" <sip:a@192.0.2.1;transport=tcp>;q=0.5;expires=100;+sip.instance=\"<urn:uuid:1>\", <sip:b@192.0.2.2>"),
        ("Authorization", authorization),
        ("Supported", "path"),
        ("Path", "<sip:p@192.0.2.9;lr>"),
        ("Expires", "600"),
    ]);
    ue.call_id = "probe".to_owned();
    let probe = ue.request("OPTIONS", DOMAIN, &[]);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&mutations(), |mutations| {
            let bytes = mutate(&valid, &mutations);
            runtime.block_on(async {
                ue.socket.send(&bytes).await.unwrap();
                // What comes back is SIP, and the probe behind it is answered.
                ue.send(&probe).await;
                while ue.receive().await.mandatory.call_id != "probe" {}
            });
            let counts = rig.edge.live_counts();
            prop_assert!(counts.transactions <= 16 + counts.requests_in_flight + 1, "{counts:?}");
            prop_assert!(counts.requests_in_flight <= 64, "{counts:?}");
            Ok(())
        })
        .unwrap();
}
