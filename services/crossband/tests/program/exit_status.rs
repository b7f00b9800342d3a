//! What the exit status says, and what is said to people: 0 done, 1 failed, 64 the command line is wrong.

use std::net::TcpListener;

use crate::program::{errors, printed, run};
use crate::service::SipDatabase;

#[test]
fn command_line_that_is_wrong_ends_with_64() {
    let wrong: [&[&str]; 4] = [&[], &["serve"], &["serve", "coffee"], &["dev", "--port-base", "a-lot"]];
    for arguments in wrong {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {}", errors(&output));
        assert!(errors(&output).contains("Usage") || errors(&output).contains("--help"));
    }
}

#[test]
fn help_and_version_are_no_failures() {
    for argument in ["--help", "--version", "help"] {
        let output = run([argument]);
        assert_eq!(output.status.code(), Some(0), "{argument}");
        assert!(printed(&output).contains("crossband"), "{argument}: {}", printed(&output));
    }
}

#[test]
fn healthcheck_tells_whether_the_process_can_do_its_work() {
    let database = SipDatabase::set_up(None, "memory:");
    let admin = database.admin(0).to_string();
    let check = || run(["healthcheck", "--admin", &admin]);

    let nobody_there = check();
    assert_eq!(nobody_there.status.code(), Some(1));
    assert!(
        errors(&nobody_there).contains(&format!("cannot connect to {admin}")),
        "{}",
        errors(&nobody_there)
    );

    // Without its schema it runs but cannot serve.
    let mut running = database.start(0);
    running.wait_until("listening", || std::net::TcpStream::connect(database.admin(0)).is_ok());
    assert_eq!(check().status.code(), Some(1));

    database.migrate();
    running.wait_until("serving", || check().status.code() == Some(0));
    running.stop();
}

#[test]
fn address_in_use_is_told_with_the_address() {
    let database = SipDatabase::set_up(None, "memory:");
    for address in [database.grpc(0), database.admin(0)] {
        let _taken = TcpListener::bind(address).unwrap();
        let output = database.serve(0).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        let said = errors(&output);
        let expected = format!("crossband: cannot listen on {address} for ");
        let told: Vec<&str> = said.lines().filter(|line| line.starts_with(&expected)).collect();
        assert_eq!(told.len(), 1, "{said}");
        assert_eq!(told[0].matches("Address already in use").count(), 1, "{said}");
    }
}

#[test]
fn certificate_that_is_not_there_is_told_with_its_file() {
    let database = SipDatabase::set_up(None, "memory:");
    let certificate = database.folder.path().join("certificates/sip-database.pem");
    std::fs::remove_file(&certificate).unwrap();
    let output = database.serve(0).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(errors(&output).contains(certificate.to_str().unwrap()), "{}", errors(&output));
}

#[test]
fn key_file_is_never_overwritten() {
    let database = SipDatabase::set_up(None, "memory:");
    let keys = database.folder.path().join("keys.toml");
    let before = std::fs::read(&keys).unwrap();
    let output = run(["key-file", "create", keys.to_str().unwrap(), "--id", "second"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(std::fs::read(&keys).unwrap(), before);
}
