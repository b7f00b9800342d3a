//! `crossband dev`: two systems, ready when they say so, the same again after a restart.

use std::path::Path;

use mcx_types::Entity;
use serde_json::{Value, json};
use sip_database::client::ClientError;
use tokio::task::JoinSet;

use crate::grpcurl::Grpcurl;
use crate::systems::{ALPHA, BRAVO, Systems};
use crate::vectors::{self, Account, User};

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[test]
fn ready_file_says_where_both_systems_are_and_who_the_users_are() {
    let systems = Systems::start();
    let base = systems.ports.base;
    assert_eq!(keys(&systems.ready), ["redirect_uri", "subscribers", "systems"]);
    assert_eq!(keys(&systems.ready["systems"]), [ALPHA, BRAVO]);
    for (system, first) in [(ALPHA, base), (BRAVO, base + 100)] {
        let entry = &systems.ready["systems"][system];
        let addresses = [
            ("grpc", 0),
            ("peer", 1),
            ("admin_http", 2),
            ("client", 3),
            ("sip_udp", 60),
            ("sip_tcp", 60),
            ("sip_tls", 61),
        ];
        assert_eq!(entry["issuer"], format!("https://127.0.0.1:{}", first + 4));
        for (key, offset) in addresses {
            assert_eq!(entry[key], format!("127.0.0.1:{}", first + offset), "{key}");
        }
        let files = ["ca_pem", "operator_cert_pem", "operator_key_pem"];
        for file in files.map(|key| Path::new(entry[key].as_str().unwrap())) {
            assert!(file.is_absolute() && file.is_file(), "{}", file.display());
        }
        assert_eq!(keys(entry).len(), addresses.len() + files.len() + 1, "{entry}");
    }
    for subscriber in systems.ready["subscribers"].as_array().unwrap() {
        assert_eq!(
            keys(subscriber),
            [
                "amf",
                "impi",
                "impus",
                "k",
                "mc_id",
                "name",
                "op",
                "opc",
                "partner",
                "password",
                "primary_system"
            ]
        );
        assert_eq!(keys(&subscriber["partner"]), ["impi", "impus", "realm", "system"]);
        let octets = |key: &str| hex::decode(subscriber[key].as_str().unwrap()).unwrap().len();
        assert_eq!([octets("k"), octets("op"), octets("opc"), octets("amf")], [16, 16, 16, 2]);
    }
    let alice = systems.subscriber("alice");
    // TS 35.208 test set 3.
    assert_eq!(alice["k"], "fec86ba6eb707ed08905757b1bb44b8f");
    assert_eq!(alice["op"], "dbc59adcb6f9a0ef735477b7fadf8374");
    assert_eq!(alice["opc"], "1006020f0a478bf6b699f15c062e42b3");
    assert_eq!((&alice["primary_system"], &alice["partner"]["system"]), (&json!(ALPHA), &json!(BRAVO)));

    // Standard output tells people the same.
    for (what, system) in [("grpc", ALPHA), ("sip_tls", BRAVO)] {
        let address = systems.entry(system, what);
        assert!(systems.daemon.printed().contains(address), "{address}: {}", systems.daemon.printed());
    }
    systems.stop();
}

#[test]
fn everything_serves_when_the_ready_file_appears() {
    let systems = Systems::start();
    for (system, other) in [(ALPHA, BRAVO), (BRAVO, ALPHA)] {
        let inside = Grpcurl::operator(&systems, system);
        let outside = Grpcurl::new(&systems, (system, "peer"), (other, "migration-management"));
        for listener in [&inside, &outside] {
            let services = listener.list().into_iter().filter(|name| name.starts_with("mcx."));
            // The empty name is the listener as a whole.
            for service in services.chain([String::new()]) {
                let health = listener.ask("grpc.health.v1.Health/Check", &json!({ "service": service }));
                assert_eq!(health["status"], "SERVING", "{service}");
            }
        }
        let admin = systems.entry(system, "admin_http");
        crate::program::run_well(["healthcheck", "--admin", admin]);
    }
    systems.stop();
}

// The connections to the program must see its end while this waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restart_keeps_what_was_there_and_goes_on_behind_the_last_sequence_number() {
    let systems = Systems::start();
    let alice = User::of_ready_file(systems.subscriber("alice"));
    let mut account = Account::default();
    account.record(&alice, ask(&systems, &alice).await);
    let before = provisioned(&systems);
    let peer_before = systems.entry(ALPHA, "peer").to_owned();
    let Systems { folder, daemon, ports: held, .. } = systems;
    daemon.stop();

    let systems = Systems::start_in(folder);
    assert_ne!(systems.ports.base, held.base);
    assert_eq!(provisioned(&systems), before);
    let last = account.highest(&alice).unwrap();
    account.record(&alice, ask(&systems, &alice).await);
    assert!(account.highest(&alice).unwrap().sequence() > last.sequence());
    account.settle();

    // The agreements name the new ports, and vectors cross by way of them.
    let peer = systems.entry(ALPHA, "peer");
    let agreement = Grpcurl::operator(&systems, BRAVO)
        .ask("mcx.migration.v1.AgreementService/GetAgreement", &json!({ "partnerMcSystemId": ALPHA }));
    assert_eq!(agreement["agreement"]["peerEndpoints"], json!([peer]), "it was {peer_before}");
    systems.ue("register", &["--user", "bob"]);
    // Alice's access information names them too: she gets there.
    let state = systems.folder.path().join("alice.json").display().to_string();
    let migrated = systems.ue("migrate", &["--user", "alice", "--state", &state, "--serving-plmn", "00102"]);
    assert!(migrated.contains("ptt      served by bravo.example"), "{migrated}");
    systems.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn request_that_meets_the_end_of_the_program_is_answered_well_or_not_at_all() {
    const ANSWERS_BEFORE_THE_END: usize = 150;
    let systems = Systems::start();
    let (answered, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let mut asking = JoinSet::new();
    for name in ["alice", "bob", "chloe"].repeat(3) {
        let user = User::of_ready_file(systems.subscriber(name));
        let client = client(&systems);
        let answered = answered.clone();
        asking.spawn(async move {
            loop {
                match user.ask(&client, 1).await {
                    Ok(vectors) => answered.send((user.clone(), vectors)).unwrap(),
                    Err(ClientError::Unavailable { .. }) => return,
                    Err(wrong) => panic!("{wrong}"),
                }
            }
        });
    }
    drop(answered);
    let mut account = Account::default();
    for _ in 0..ANSWERS_BEFORE_THE_END {
        let (user, vectors) = heard.recv().await.expect("the program answers");
        account.record(&user, vectors);
    }
    systems.daemon.ask_to_end();
    asking.join_all().await;
    while let Some((user, vectors)) = heard.recv().await {
        account.record(&user, vectors);
    }
    let logged = systems.daemon.logged();
    let status = systems.daemon.wait();
    assert!(status.success(), "{status}: {logged}");

    // Whatever was cut off, no number is issued again.
    let systems = Systems::start_in(systems.folder);
    for name in ["alice", "bob", "chloe"] {
        let user = User::of_ready_file(systems.subscriber(name));
        let vectors = ask(&systems, &user).await;
        account.record(&user, vectors);
    }
    assert!(account.settle() >= ANSWERS_BEFORE_THE_END);
    systems.stop();
}

fn client(systems: &Systems) -> sip_database::client::SipAuthenticationClient {
    let address = systems.entry(ALPHA, "grpc").parse().unwrap();
    let (folder, system) = (systems.certificates(ALPHA), ALPHA.parse().unwrap());
    // All entities of `dev` share one listener, which shows the certificate of the first of them.
    let channel = vectors::channel(folder, "sip-core", &system, Entity::MigrationManagement, address);
    vectors::sip_core(channel)
}

async fn ask(systems: &Systems, user: &User) -> Vec<mcx_aka::AuthenticationVector> {
    user.ask(&client(systems), 1).await.unwrap()
}

/// What an operator provisions, as both systems show it.
fn provisioned(systems: &Systems) -> [Value; 3] {
    let (alpha, bravo) = (Grpcurl::operator(systems, ALPHA), Grpcurl::operator(systems, BRAVO));
    [
        alpha.ask("mcx.sipdatabase.v1.SubscriberService/ListSubscribers", &json!({})),
        alpha.ask("mcx.migration.v1.PermitService/ListPermits", &json!({})),
        bravo.ask("mcx.migration.v1.BindingService/ListBindings", &json!({})),
    ]
}
