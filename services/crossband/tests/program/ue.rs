//! `crossband ue`: a UE on the command line, against the systems of a ready file.

use serde_json::{Value, json};

use crate::grpcurl::{Grpcurl, Refused};
use crate::program::{errors, printed, run, run_well};
use crate::systems::{ALPHA, BRAVO, Systems};

const INCIDENT: &str = "sip:incident@bravo.example";

const GET: &str = "mcx.sipcore.v1.RegistrationService/GetRegistration";

#[test]
fn user_registers_and_deregisters_in_the_partner_system_and_at_home() {
    let systems = Systems::start();
    let alice = systems.subscriber("alice");
    let places = [
        (BRAVO, alice["partner"]["impus"][0].clone(), vec![], true),
        (ALPHA, alice["impus"][0].clone(), vec!["--home", "--transport", "tcp"], false),
    ];
    for (system, impu, more, is_visitor) in places {
        let operator = Grpcurl::operator(&systems, system);
        let of_impu = json!({ "impu": impu });
        let arguments: Vec<&str> = ["--user", "alice"].into_iter().chain(more).collect();

        let said = systems.ue("register", &arguments);
        assert!(said.contains("sip:") && said.contains(" s\n"), "{said}");
        let registration = operator.ask(GET, &of_impu)["registration"].clone();
        // Proto's JSON leaves out what is false.
        assert_eq!(registration["visitor"].as_bool().unwrap_or(false), is_visitor);
        assert_eq!(registration["contacts"].as_array().unwrap().len(), 1);

        assert_eq!(systems.ue("deregister", &arguments), "no contact is registered\n");
        assert_eq!(operator.call(GET, &of_impu), Err(Refused::new("NotFound", "NOT_REGISTERED")));
    }
    systems.stop();
}

#[test]
fn isim_remembers_its_sequence_numbers_in_a_file() {
    let systems = Systems::start();
    let state = systems.folder.path().join("isim.json");
    let arguments = ["--user", "chloe", "--isim-state", state.to_str().unwrap()];
    let remembered = || -> Vec<u64> { serde_json::from_slice(&std::fs::read(&state).unwrap()).unwrap() };

    systems.ue("register", &arguments);
    let first = remembered();
    systems.ue("deregister", &arguments);
    let second = remembered();
    assert!(second.iter().zip(&first).all(|(now, before)| now >= before) && second != first);

    // An ISIM that has seen more than the network has issued refuses, and says so with AUTS.
    let ahead: Vec<u64> = second.iter().map(|sequence| sequence + 1_000).collect();
    std::fs::write(&state, json!(ahead).to_string()).unwrap();
    let said = systems.ue("register", &arguments);
    assert!(said.contains("the sequence number was resynchronised"), "{said}");
    assert!(remembered().iter().max() > ahead.iter().max());
    systems.stop();
}

#[test]
fn user_who_is_not_in_the_ready_file_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let ready_file = folder.path().join("ready.json");
    let nobody: Value = json!({ "systems": {}, "subscribers": [] });
    std::fs::write(&ready_file, nobody.to_string()).unwrap();
    let output = run(["ue", "register", "--user", "mallory", "--ready-file", ready_file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(errors(&output), "crossband: no user is called mallory\n");
}

#[test]
fn user_migrates_and_returns_by_one_command_each() {
    let systems = Systems::start();
    let state = systems.folder.path().join("alice.json").display().to_string();
    let ue = |command: &str, more: &[&str]| {
        let arguments: Vec<&str> =
            ["--user", "alice", "--state", &state].iter().chain(more).copied().collect();
        systems.ue(command, &arguments)
    };
    let migrated = ue("migrate", &["--serving-plmn", "00102"]);
    assert!(migrated.contains("10.6.3                      migration service authorization"), "{migrated}");
    assert!(migrated.contains("ptt      served by bravo.example"), "{migrated}");
    let status = ue("status", &[]);
    assert!(status.contains("state    SERVING") && status.contains("partner  bravo.example"), "{status}");
    let returned = ue("return", &[]);
    assert!(returned.contains("ptt      served by alpha.example"), "{returned}");
    assert!(ue("status", &[]).contains("partner  -"));
    systems.stop();
}

#[test]
fn user_migrates_where_the_position_rule_of_her_user_profile_says() {
    let systems = Systems::start();
    let profile = systems.folder.path().join("profile.json");
    let incident =
        json!({ "centre": { "latitude_degrees": -33.4, "longitude_degrees": 19.2 }, "radius_metres": 5_000 });
    let profiles = ["MC_SERVICE_PTT", "MC_SERVICE_DATA"].map(|service| {
        json!({
            "kind": "user-profile",
            "user_profile": {
                "identity": { "mc_service": service, "mc_service_id": "sip:alice@alpha.example" },
                "profile_index": 0,
                "migration_targets": [{ "mc_system_id": BRAVO, "selection": { "areas": [{ "circle": incident }] } }],
            },
        })
    });
    std::fs::write(&profile, json!(profiles).to_string()).unwrap();
    let (ready, profile) = (systems.ready_file(), profile.display().to_string());
    run_well(["admin", "--ready-file", &ready, "--system", ALPHA, "apply", "-f", &profile]);

    let state = systems.folder.path().join("alice.json").display().to_string();
    let of_alice = ["--user", "alice", "--state", &state, "--ready-file", &ready];
    let migrate = |more: &[&str]| run([&["ue", "migrate"], of_alice.as_slice(), more].concat());
    let nowhere = migrate(&["--position", "91,0"]);
    assert_eq!(nowhere.status.code(), Some(64));
    assert!(errors(&nowhere).contains("must be latitude and longitude"), "{}", errors(&nowhere));
    let elsewhere = migrate(&["--position", "48.2,16.37"]);
    assert_eq!(elsewhere.status.code(), Some(1));
    let told = "crossband: no rule of the user profile names a partner for where the UE is\n";
    assert_eq!(errors(&elsewhere), told);
    let there = migrate(&["--position", "-33.41,19.21"]);
    assert!(printed(&there).contains("ptt      served by bravo.example"), "{}", errors(&there));
    systems.stop();
}

#[test]
fn what_changed_before_a_ue_watches_is_told_when_it_does() {
    let systems = Systems::start();
    let state = systems.folder.path().join("alice.json").display().to_string();
    let of_alice = ["--user", "alice", "--state", &state];
    systems.ue("migrate", &of_alice);
    let ready = systems.ready_file();
    let group = systems.folder.path().join("group.json");
    let rename = |name: &str| {
        let document = json!({ "kind": "group", "group": { "group_id": INCIDENT, "display_name": name } });
        std::fs::write(&group, document.to_string()).unwrap();
        let file = group.display().to_string();
        run_well(["admin", "--ready-file", &ready, "--system", BRAVO, "apply", "-f", &file]);
    };
    for name in ["Incident 2", "Incident 3"] {
        rename(name);
        let told = systems.ue("watch", &[of_alice.as_slice(), &["--count", "1"]].concat());
        assert_eq!(told, format!("group {INCIDENT} changed\n"));
    }
    systems.stop();
}
