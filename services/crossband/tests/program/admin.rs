//! `crossband admin`: an operator's commands against running systems.

use serde_json::{Value, json};

use crate::program::{errors, run, run_well};
use crate::systems::{ALPHA, Systems};

fn admin(systems: &Systems, arguments: &[&str]) -> String {
    let ready = systems.ready_file();
    let common = ["admin", "--ready-file", &ready, "--system", ALPHA];
    run_well(common.iter().chain(arguments))
}

fn group(name: &str) -> Value {
    json!({
        "kind": "group",
        "group": {
            "group_id": "sip:night-watch@alpha.example",
            "display_name": name,
            "mc_services": ["MC_SERVICE_PTT"],
        },
    })
}

#[test]
fn what_a_file_says_is_created_then_left_alone_then_updated() {
    let systems = Systems::start();
    let file = systems.folder.path().join("group.json");
    let apply = |document: &Value, more: &[&str]| {
        std::fs::write(&file, document.to_string()).unwrap();
        let path = file.display().to_string();
        let arguments: Vec<&str> = ["apply", "-f", &path, "-o", "json"].iter().chain(more).copied().collect();
        let done: Value = serde_json::from_str(&admin(&systems, &arguments)).unwrap();
        done[0]["outcome"].as_str().unwrap().to_owned()
    };
    assert_eq!(apply(&group("Night watch"), &["--dry-run"]), "created (dry run)");
    assert_eq!(apply(&group("Night watch"), &[]), "created", "the dry run changed nothing");
    assert_eq!(apply(&group("Night watch"), &[]), "unchanged");
    assert_eq!(apply(&group("Night watch 2"), &[]), "updated");

    let table = admin(&systems, &["list", "group"]);
    assert!(table.contains("sip:night-watch@alpha.example") && table.contains("Night watch 2"), "{table}");
    let read: Value =
        serde_json::from_str(&admin(&systems, &["get", "group", "sip:night-watch@alpha.example"])).unwrap();
    assert_eq!(read["group"]["etag"], "2");
    admin(&systems, &["delete", "group", "sip:night-watch@alpha.example"]);
    assert!(!admin(&systems, &["list", "group"]).contains("night-watch"));
    systems.stop();
}

#[test]
fn every_user_who_cannot_be_requested_is_told_at_once_and_nothing_is_done() {
    let systems = Systems::start();
    let users = systems.folder.path().join("users.csv");
    std::fs::write(&users, "mc_id,impi,impu\nnobody@alpha.example,nobody@alpha.example,sip:nobody@alpha.example\nalice@alpha.example,alice,sip:alice@alpha.example\n").unwrap();
    let ready = systems.ready_file();
    let path = users.display().to_string();
    let request = |more: &[&str]| {
        let to_bravo = ["user-migration", "request", "--partner", "bravo.example", "--users", &path];
        run([&["admin", "--ready-file", &ready, "--system", ALPHA], to_bravo.as_slice(), more].concat())
    };
    let requested = request(&[]);
    assert_eq!(requested.status.code(), Some(1));
    let told = errors(&requested);
    for wrong in ["users[0].mc_id: names nobody", "users[1].primary_identities.impi"] {
        assert!(told.contains(wrong), "{wrong}: {told}");
    }
    let checked = request(&["--dry-run"]);
    assert_eq!(checked.status.code(), Some(1), "a check that finds something is no success");
    let told = String::from_utf8(checked.stdout).unwrap();
    assert!(told.contains("users[0].mc_id") && told.contains("users[1].primary_identities.impi"), "{told}");
    let listed = admin(&systems, &["list", "user-migration", "-o", "json"]);
    assert_eq!(
        serde_json::from_str::<Value>(&listed).unwrap().as_array().unwrap().len(),
        1,
        "alice of before"
    );
    systems.stop();
}
