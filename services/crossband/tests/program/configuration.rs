//! `crossband config`, and what the other commands say to a configuration that is wrong.

use serde_json::Value;

use crate::program::{crossband, errors, printed, run, run_well};
use crate::service::SipDatabase;

/// `EX_USAGE` of sysexits.
const REFUSED: Option<i32> = Some(64);

fn file(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

#[test]
fn every_problem_is_told_at_once_with_its_key_and_where_it_came_from() {
    let wrong = file(
        "[listen]\ngrpc = 'nowhere'\nporch = 1\n[database]\nmax_connections = 0\n[sip_core]\nretry_after = 'never'\n",
    );
    let path = wrong.path().to_str().unwrap();
    let commands: [&[&str]; 4] = [
        &["config", "check"],
        &["config", "print"],
        &["migrate", "sip-database"],
        &["serve", "sip-database"],
    ];
    for command in commands {
        let output = crossband(command.iter().chain(&["--config", path]))
            .env("CROSSBAND_CACHE__MAX_ENTRIES", "many")
            .env("CROSSBAND_SIP_DATABASE__KEY_FILLE", "keys.toml")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), REFUSED, "{command:?}");
        let said = errors(&output);
        for expected in [
            format!("listen.grpc: invalid socket address syntax (from {path})"),
            "listen.porch: unknown field `porch`".to_owned(),
            "database.url: exactly one of url and url_file must be set".to_owned(),
            "database.max_connections: must be at least 1".to_owned(),
            format!(
                "sip_core.retry_after: invalid value: string \"never\", expected a duration (from {path})"
            ),
            "(from environment variable CROSSBAND_CACHE__MAX_ENTRIES)".to_owned(),
            "sip_database.key_fille: unknown field `key_fille`".to_owned(),
            "mc_system_id: is required".to_owned(),
        ] {
            assert!(said.contains(&expected), "{expected}\nis not in\n{said}");
        }
    }
}

#[test]
fn file_that_was_named_must_be_there() {
    let output = run(["config", "check", "--config", "/nowhere/crossband.toml"]);
    assert_eq!(output.status.code(), REFUSED);
    assert!(errors(&output).contains("cannot be read: No such file or directory"), "{}", errors(&output));
}

#[test]
fn environment_wins_over_the_file_and_the_good_configuration_is_said_to_be_good() {
    let database = SipDatabase::set_up(None, "memory:");
    let path = database.configuration();
    let arguments = ["config", "check", "--config", path.to_str().unwrap()];
    assert_eq!(run_well(arguments), "the configuration is good\n");

    let print = ["config", "print", "--config", path.to_str().unwrap()];
    let shown = crossband(print).env("CROSSBAND_LISTEN__GRPC", "127.0.0.1:7777").output().unwrap();
    assert!(printed(&shown).contains("grpc = \"127.0.0.1:7777\""), "{}", printed(&shown));
}

#[test]
fn keys_outside_of_all_sections_have_a_variable_too() {
    let database = SipDatabase::set_up(None, "memory:");
    let path = database.configuration();
    let print = ["config", "print", "--config", path.to_str().unwrap()];
    let shown = crossband(print).env("CROSSBAND_MC_SYSTEM_ID", "delta.example").output().unwrap();
    assert!(printed(&shown).contains("mc_system_id = \"delta.example\""), "{}", printed(&shown));
}

#[test]
fn printed_configuration_masks_secrets() {
    let database = SipDatabase::set_up(Some("postgres://mcx:hunter2@db/mcx"), "redis://:hunter2@cache/0");
    let path = database.configuration();
    let shown = run_well(["config", "print", "--config", path.to_str().unwrap()]);
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("[database]\n") && shown.contains("url = "), "{shown}");
}

#[test]
fn schema_is_json_and_describes_every_section() {
    let schema: Value = serde_json::from_str(&run_well(["config", "schema"])).unwrap();
    for section in ["listen", "database", "cache", "server", "telemetry", "sip_core", "sip_database"] {
        assert!(schema["properties"][section].is_object(), "{section}");
    }
}
