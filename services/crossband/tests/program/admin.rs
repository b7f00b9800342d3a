//! `crossband admin`: an operator's commands against running systems.

use std::process::Output;

use serde_json::{Value, json};

use crate::program::{errors, printed, run, run_well};
use crate::systems::{ALPHA, BRAVO, Systems};

fn admin(systems: &Systems, arguments: &[&str]) -> String {
    let ready = systems.ready_file();
    let common = ["admin", "--ready-file", &ready, "--system", ALPHA];
    run_well(common.iter().chain(arguments))
}

/// A command of an operator of one of the systems that may end badly, with JSON as its output.
fn admin_at(systems: &Systems, system: &str, arguments: &[&str]) -> Output {
    let ready = systems.ready_file();
    let common = ["admin", "--ready-file", &ready, "--system", system, "-o", "json"];
    run(common.iter().chain(arguments))
}

/// What a command printed, which must have ended well.
fn answer_at(systems: &Systems, system: &str, arguments: &[&str]) -> Value {
    let output = admin_at(systems, system, arguments);
    assert!(output.status.success(), "{arguments:?}: {} {}", printed(&output), errors(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Writes a file of JSON lines, and says where.
fn json_lines(systems: &Systems, name: &str, lines: &[Value]) -> String {
    let path = systems.folder.path().join(name);
    let lines: Vec<String> = lines.iter().map(Value::to_string).collect();
    std::fs::write(&path, lines.join("\n")).unwrap();
    path.display().to_string()
}

/// Gives users of alpha an account and user profiles by import; they may migrate once bravo lets them.
fn import_users(systems: &Systems, names: &[&str]) {
    let identity = |name: &str| json!({ "mc_service": "MC_SERVICE_PTT", "mc_service_id": format!("sip:{name}@alpha.example") });
    let account = |name: &&str| {
        json!({ "account": {
            "mc_id": format!("{name}@alpha.example"),
            "mc_service_identities": [identity(name)],
            "scopes": ["openid", "3gpp:mc:ptt_service"],
            "display_name": name,
        } })
    };
    let profiles = |name: &&str| {
        let home = json!({ "user_profile": {
            "identity": identity(name), "profile_index": 0, "profile_name": "at home", "priority": 100,
            "private_call": { "policy": "PRIVATE_CALL_POLICY_ANY" }, "pre_selected": true, "migration_targets": [{ "mc_system_id": BRAVO }],
        } });
        let away = json!({ "user_profile": {
            "identity": identity(name), "profile_index": 1, "profile_name": "away", "priority": 100,
            "private_call": { "policy": "PRIVATE_CALL_POLICY_ANY" }, "valid_in": [BRAVO],
        } });
        [home, away]
    };
    let accounts: Vec<Value> = names.iter().map(account).collect();
    let profiles: Vec<Value> = names.iter().flat_map(profiles).collect();
    for (kind, documents) in [("account", accounts), ("user-profile", profiles)] {
        let file = json_lines(systems, kind, &documents);
        let checked = answer_at(systems, ALPHA, &["import", kind, "-f", &file, "--dry-run"]);
        assert_eq!(checked, json!({ "checked_count": documents.len() }));
        let imported = answer_at(systems, ALPHA, &["import", kind, "-f", &file]);
        assert_eq!(imported["created_count"], documents.len(), "the check created nothing: {imported}");
        let imported = answer_at(systems, ALPHA, &["import", kind, "-f", &file]);
        assert_eq!(
            imported["unchanged_count"],
            documents.len(),
            "a second time nothing is to be done: {imported}"
        );
    }
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

#[test]
fn file_with_a_wrong_document_is_not_applied() {
    let systems = Systems::start();
    let file = systems.folder.path().join("groups.json");
    let misspelt =
        json!({ "kind": "group", "group": { "group_id": "sip:a@alpha.example", "display_nam": "A" } });
    let unknown = json!({ "kind": "grup", "group": {} });
    std::fs::write(&file, json!([group("Night watch"), misspelt, unknown]).to_string()).unwrap();
    let path = file.display().to_string();
    for more in [&[][..], &["--dry-run"]] {
        let refused = admin_at(&systems, ALPHA, &[&["apply", "-f", &path], more].concat());
        assert_eq!(refused.status.code(), Some(1), "{more:?}");
        let told = errors(&refused);
        assert!(told.contains("document 1, group: ") && told.contains("display_nam"), "{told}");
        assert!(told.contains("document 2, grup: no resource is called grup"), "{told}");
    }
    assert!(
        !admin(&systems, &["list", "group"]).contains("night-watch"),
        "the first one is not there either"
    );
    systems.stop();
}

#[test]
fn file_with_a_wrong_line_is_not_imported() {
    let systems = Systems::start();
    let count = |systems: &Systems| answer_at(systems, ALPHA, &["list", "account"]).as_array().unwrap().len();
    let before = count(&systems);
    let good = json!({ "account": { "mc_id": "erika@alpha.example" } });
    let file = json_lines(&systems, "accounts", &[good, json!({ "account": { "shoe_size": 38 } })]);
    for more in [&[][..], &["--dry-run"]] {
        let refused = admin_at(&systems, ALPHA, &[&["import", "account", "-f", &file], more].concat());
        assert_eq!(refused.status.code(), Some(1), "{more:?}");
        assert!(errors(&refused).contains("shoe_size"), "{more:?}: {}", errors(&refused));
    }
    assert_eq!(count(&systems), before);
    systems.stop();
}

#[test]
fn users_are_let_migrate_and_that_is_revoked_by_commands_of_the_operators() {
    let mut systems = Systems::start();
    import_users(&systems, &["erika", "frank"]);
    let user = |name: &str| {
        let id = format!("{name}@alpha.example");
        json!({ "mc_id": id, "primary_identities": { "impi": id, "impus": [format!("sip:{id}")] } })
    };
    let users = systems.folder.path().join("users.json");
    std::fs::write(&users, json!([user("erika"), user("frank")]).to_string()).unwrap();
    let users = users.display().to_string();
    let to_bravo = ["user-migration", "request", "--partner", BRAVO, "--users", &users];
    let request = answer_at(&systems, ALPHA, &to_bravo)["user_migration_request_id"].clone();
    let request = request.as_str().unwrap();

    let list = |systems: &Systems, system: &str, state: &str| {
        let of_request = format!("user_migration_request_id={request}");
        let in_state = format!("state=USER_MIGRATION_STATE_{state}");
        let filters = ["list", "user-migration", "--filter", &of_request, "--filter", &in_state];
        answer_at(systems, system, &filters).as_array().unwrap().clone()
    };
    systems.wait_until("offered", |systems| list(systems, BRAVO, "PENDING").len() == 2);
    let decide = |systems: &Systems, arguments: &[&str]| {
        let output = admin_at(systems, BRAVO, &[&["user-migration"], arguments].concat());
        let results: Value = serde_json::from_str(&printed(&output)).unwrap();
        (output.status.code(), results.as_array().unwrap().clone())
    };

    let (code, would) = decide(&systems, &["accept", "--request", request, "--dry-run"]);
    assert_eq!((code, would.len()), (Some(0), 2), "{would:?}");
    let pending = list(&systems, BRAVO, "PENDING");
    assert_eq!(pending.len(), 2, "the dry run decided nothing");
    let ids: Vec<&str> = pending.iter().map(|one| one["migration_id"].as_str().unwrap()).collect();
    let (code, accepted) = decide(&systems, &["accept", ids[0]]);
    assert_eq!((code, accepted.len()), (Some(0), 1), "{accepted:?}");
    let (code, refused) = decide(&systems, &["refuse", "--request", request, "--cause", "no room"]);
    assert_eq!((code, refused.len()), (Some(0), 1), "she who is left: {refused:?}");
    assert_eq!(refused[0]["migration_id"], ids[1]);
    let (code, late) = decide(&systems, &["accept", ids[0], ids[1]]);
    assert_eq!((code, late.len()), (Some(1), 2), "{late:?}");
    assert_eq!(late[0].get("reason"), None, "accepted already, and stays so");
    assert_eq!(late[1]["reason"], "ERROR_REASON_USER_MIGRATION_DECIDED", "{late:?}");

    let settled = answer_at(&systems, ALPHA, &["user-migration", "watch", request]);
    let counts = |first: &str, second: &str| {
        json!([
            { "state": format!("USER_MIGRATION_STATE_{first}"), "user_count": 1 },
            { "state": format!("USER_MIGRATION_STATE_{second}"), "user_count": 1 },
        ])
    };
    assert_eq!(settled["counts"], counts("IN_FORCE", "REFUSED"));
    assert_eq!(list(&systems, ALPHA, "REFUSED")[0]["cause"], "no room", "the primary knows why");

    let revoked =
        answer_at(&systems, ALPHA, &["user-migration", "revoke", "--request", request, "--cause", "over"]);
    assert_eq!(revoked.as_array().unwrap().len(), 1, "who was refused is not revoked: {revoked}");
    let settled = answer_at(&systems, ALPHA, &["user-migration", "watch", request]);
    assert_eq!(settled["counts"], counts("REFUSED", "REVOKED"));
    systems.stop();
}

#[test]
fn users_to_decide_must_be_named() {
    let systems = Systems::start();
    let nobody = admin_at(&systems, BRAVO, &["user-migration", "accept"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert_eq!(errors(&nobody), "crossband: say which: migration ids, --request or --peer\n");
    let with_cause =
        admin_at(&systems, BRAVO, &["user-migration", "accept", "--peer", ALPHA, "--cause", "kind"]);
    assert_eq!(with_cause.status.code(), Some(1));
    assert_eq!(errors(&with_cause), "crossband: --cause is not for accept\n");
    let unknown =
        admin_at(&systems, BRAVO, &["user-migration", "watch", "4f7a54d0-6ba2-4d5a-8c06-6f0a6b1d7a11"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(errors(&unknown).contains("USER_MIGRATION_REQUEST_UNKNOWN"), "{}", errors(&unknown));
    systems.stop();
}
