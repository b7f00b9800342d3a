//! What authenticates a user is in no log, in no trace, and in no file in the clear.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use crossband::dev::DemoSubscriber;
use crossband_tests::{Stores, World};
use mcx_aka::digest::parse_nonce;
use mcx_aka::isim::SequenceArray;
use mcx_aka::{Milenage, Rand};

use crate::observed::observed;

/// A secret and its name, which is all that a failure may show.
type Secret = (&'static str, Vec<u8>);

fn keys_of(user: &DemoSubscriber) -> Vec<Secret> {
    vec![
        ("K", user.key.expose_octets().to_vec()),
        ("OP", user.operator_key.expose_octets().to_vec()),
        ("OPc", user.opc.expose_octets().to_vec()),
    ]
}

/// The secrets of the vector with this RAND.
fn vector_of(user: &DemoSubscriber, rand: &Rand) -> Vec<Secret> {
    let milenage = Milenage::new(&user.key, &user.opc);
    vec![
        ("XRES", milenage.f2(rand).expose_octets().to_vec()),
        ("CK", milenage.f3(rand).expose_octets().to_vec()),
        ("IK", milenage.f4(rand).expose_octets().to_vec()),
    ]
}

/// How a secret could be written.
fn spellings(secret: &[u8]) -> Vec<Vec<u8>> {
    let decimal: Vec<String> = secret.iter().map(u8::to_string).collect();
    let texts = [
        hex::encode(secret),
        hex::encode_upper(secret),
        STANDARD_NO_PAD.encode(secret),
        URL_SAFE_NO_PAD.encode(secret),
        decimal.join(", "),
        decimal.join(","),
    ];
    texts.into_iter().map(String::into_bytes).chain([secret.to_vec()]).collect()
}

/// Every byte as one character, because text is searched faster than bytes are.
fn searchable(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

fn assert_absent(secrets: &[Secret], from: &[u8], place: &str) {
    let from = searchable(from);
    for (name, secret) in secrets {
        for spelling in spellings(secret) {
            assert!(!from.contains(&searchable(&spelling)), "{name} is in {place}");
        }
    }
}

/// Registers alice with a resynchronisation on the way, and returns the world, and the secrets of all that was used.
async fn register_with_everything() -> (World, Vec<Secret>) {
    let world = World::start(Stores::Embedded).await;
    let mut phone = world.phone("alice");
    phone.sequences = SequenceArray::try_from([100_000; mcx_aka::IndexValue::COUNT].as_slice()).unwrap();
    let mut phone = phone.connect().await.unwrap();
    let rands: Arc<Mutex<Vec<Rand>>> = Arc::default();
    let seen = Arc::clone(&rands);
    phone.observe(Arc::new(move |event| {
        let message = String::from_utf8_lossy(&event.message).into_owned();
        if let Some((_, rest)) = message.split_once("nonce=\"")
            && message.starts_with("SIP/2.0 401")
        {
            let nonce = rest.split_once('"').unwrap().0;
            seen.lock().unwrap().push(parse_nonce(nonce).unwrap().0);
        }
    }));
    assert!(phone.register().await.unwrap().resynchronised);
    let rands = rands.lock().unwrap().clone();
    assert_eq!(rands.len(), 2, "one challenge was stale, one was answered");
    let alice = world.user("alice");
    let vectors = rands.iter().flat_map(|rand| vector_of(alice, rand));
    let secrets = keys_of(alice).into_iter().chain(vectors).collect();
    (world, secrets)
}

#[test]
fn log_at_its_most_talkative_and_traces_show_no_secret() {
    let observed = observed();
    let (world, secrets) = observed.runtime.block_on(register_with_everything());
    let spans = format!("{:?}", observed.spans());
    let log = observed.log();
    let text = String::from_utf8_lossy(&log);
    for expected in ["\"TRACE\"", "authentication vectors made", "resynchronised", "alice@alpha.example"] {
        assert!(text.contains(expected), "the log tells of {expected}");
    }
    assert_absent(&secrets, &log, "the log");
    assert_absent(&secrets, spans.as_bytes(), "the traces");
    drop(world);
}

#[test]
fn files_hold_no_secret_in_the_clear() {
    let (world, secrets) = observed().runtime.block_on(register_with_everything());
    let mut files = Vec::new();
    files_below(&world.options.data_directory, &mut files);
    assert!(files.iter().any(|file| file.to_string_lossy().contains("database")), "{files:?}");
    for file in files {
        assert_absent(&secrets, &std::fs::read(&file).unwrap(), &file.display().to_string());
    }
}

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files_below(&path, files) } else { files.push(path) }
    }
}
