//! SIPp, an independent SIP user agent with its own Milenage and digest, at the SIP core of the partner system.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::prelude::{BASE64_STANDARD, Engine};
use mcx_aka::{Milenage, Opc, OperatorKey, Rand, SubscriberKey};
use serde_json::{Value, json};

use crate::grpcurl::{Grpcurl, Refused};
use crate::systems::{BRAVO, Systems};

const HOW_TO_INSTALL: &str =
    "sipp cannot be started. It is needed for this test: run scripts/setup-tools test";

/// Runs a scenario of this folder once, which must go as it says; again where SIPp is challenged with what it cannot answer.
fn sipp(systems: &Systems, scenario: &str, (transport, listener): (&str, &str), user: &Value) {
    #[expect(clippy::disallowed_methods, reason = "the test runner's channel to the fixtures")]
    let named = std::env::var_os("CROSSBAND_TEST_SIPP").filter(|named| !named.is_empty());
    let program = named.map_or_else(|| PathBuf::from("sipp"), PathBuf::from);
    let folder = tempfile::tempdir().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let partner = &user["partner"];
    let impi = text(&partner["impi"]);
    let (name, realm) = impi.split_once('@').unwrap();
    assert_eq!(realm, partner["realm"]);
    let line = format!(
        "SEQUENTIAL\n{name};{impi};{realm};[authentication username={impi} aka_K=0x{} aka_OP=0x{} aka_AMF=0x{}]\n",
        text(&user["k"]),
        text(&user["op"]),
        text(&user["amf"]),
    );
    std::fs::write(folder.path().join("users.csv"), line).unwrap();
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/program/sipp");
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap_or_default();
    loop {
        let output = Command::new(&program)
            .arg(systems.entry(BRAVO, listener))
            .arg("-sf")
            .arg(scenarios.join(scenario))
            .args(["-inf", "users.csv", "-t", transport, "-i", "127.0.0.1", "-m", "1", "-timeout", "60"])
            .args([
                "-nostdin",
                "-trace_err",
                "-error_file",
                "errors",
                "-trace_msg",
                "-message_file",
                "messages",
            ])
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .output()
            .expect(HOW_TO_INSTALL);
        let messages = read("messages");
        // The log of this run only, should there be another.
        let _ = std::fs::remove_file(folder.path().join("messages"));
        if !output.status.success() && is_beyond_sipp(&messages, user) {
            continue;
        }
        assert!(output.status.success(), "{}\n{}\n{messages}", output.status, read("errors"));
        return;
    }
}

/// SIPp before 3.7 takes the RES for text, which ends at its first zero octet (SIPp pull request 595). One of 32 challenges is such a one.
fn is_beyond_sipp(messages: &str, user: &Value) -> bool {
    let mut nonces = messages.split("nonce=\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0));
    let Some(challenge) = nonces.find(|nonce| !nonce.is_empty()) else { return false };
    let octets = BASE64_STANDARD.decode(challenge).unwrap();
    let text = |name: &str| user[name].as_str().unwrap();
    let key = SubscriberKey::from_hex(text("k")).unwrap();
    let opc = Opc::derive(&key, &OperatorKey::from_hex(text("op")).unwrap());
    let res = Milenage::new(&key, &opc).f2(&Rand(octets[..16].try_into().unwrap()));
    res.expose_octets().contains(&0)
}

#[test]
fn sipp_registers_alice_in_the_partner_system_with_akav1_md5() {
    let systems = Systems::start();
    let alice = systems.subscriber("alice");
    let operator = Grpcurl::operator(&systems, BRAVO);
    let impu = json!({ "impu": alice["partner"]["impus"][0] });
    for (transport, listener, shown) in
        [("u1", "sip_udp", "SIP_TRANSPORT_UDP"), ("t1", "sip_tcp", "SIP_TRANSPORT_TCP")]
    {
        sipp(&systems, "register.xml", (transport, listener), alice);

        let answer = operator.ask("mcx.sipcore.v1.RegistrationService/GetRegistration", &impu);
        let registration = &answer["registration"];
        assert_eq!(registration["visitor"], true);
        assert_eq!(registration["impi"], alice["partner"]["impi"]);
        assert_eq!(registration["contacts"][0]["transport"], shown);
        operator.ask("mcx.sipcore.v1.RegistrationService/Deregister", &impu);
    }
    systems.stop();
}

#[test]
fn answers_made_without_the_key_end_in_403() {
    let systems = Systems::start();
    let bob = systems.subscriber("bob");
    // The scenario answers each challenge wrongly until it is locked out.
    sipp(&systems, "wrong-key.xml", ("u1", "sip_udp"), bob);

    let impu = json!({ "impu": bob["partner"]["impus"][0] });
    let registration =
        Grpcurl::operator(&systems, BRAVO).call("mcx.sipcore.v1.RegistrationService/GetRegistration", &impu);
    assert_eq!(registration, Err(Refused::new("NotFound", "NOT_REGISTERED")));
    systems.stop();
}

#[test]
fn challenges_that_sipp_cannot_answer_are_told_from_others() {
    let user = json!({ "k": "fec86ba6eb707ed08905757b1bb44b8f", "op": "dbc59adcb6f9a0ef735477b7fadf8374" });
    let of = |nonce: &str| format!("REGISTER … nonce=\"\" … 401 … nonce=\"{nonce}\"");
    assert!(is_beyond_sipp(&of("9cVI80P3MPrboeNngeHYXbj/sIwpBXJc9mdamBRJyx8="), &user));
    assert!(!is_beyond_sipp(&of("Ar+ZLtYDuYui6Y/ISbvor3c2LnvLBXJcbTThWcyc10c="), &user));
}
