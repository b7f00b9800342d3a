//! The servers of a test end with it, however it ends.

#![expect(clippy::unwrap_used, reason = "the whole crate is tests")]

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mcx_testkit::{PostgresOptions, PostgresServer, RedisServer};

/// The address in a url such as `redis://user@127.0.0.1:1234/0`.
fn address(url: &str) -> SocketAddr {
    let (_, rest) = url.split_once("//").unwrap();
    let (authority, _) = rest.split_once('/').unwrap();
    authority.rsplit('@').next().unwrap().parse().unwrap()
}

fn listens(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}

fn falls_silent(address: SocketAddr) -> bool {
    let begun = Instant::now();
    while listens(address) {
        if begun.elapsed() > Duration::from_secs(20) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    true
}

#[test]
fn servers_stop_and_start_at_the_same_address() {
    let postgres = PostgresServer::private(PostgresOptions { fsync: false });
    let redis = RedisServer::private();
    let addresses = [address(&postgres.create_database()), address(redis.url())];
    assert_eq!(addresses.map(listens), [true, true]);
    postgres.stop_immediate();
    redis.stop();
    assert_eq!(addresses.map(listens), [false, false]);
    postgres.start();
    redis.start();
    assert_eq!(addresses.map(listens), [true, true]);
    drop((postgres, redis));
    assert_eq!(addresses.map(listens), [false, false]);
}

#[test]
fn databases_and_prefixes_are_nobody_elses() {
    let postgres = PostgresServer::shared();
    assert_ne!(postgres.create_database(), postgres.create_database());
    let redis = RedisServer::shared();
    assert_ne!(redis.unique_prefix(), redis.unique_prefix());
}

#[test]
fn database_is_dropped_with_its_test_although_that_panics_and_somebody_is_connected() {
    let server = PostgresServer::shared();
    let (to_us, from_test) = std::sync::mpsc::channel();
    // As a test runner does: a thread per test.
    let test = std::thread::spawn(move || {
        let url = server.create_database();
        let mut connected = Command::new("psql")
            .args([&url, "--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        connected.stdin.as_mut().unwrap().write_all(b"SELECT current_database();\n").unwrap();
        let mut name = String::new();
        BufReader::new(connected.stdout.as_mut().unwrap()).read_line(&mut name).unwrap();
        to_us.send((name.trim().to_owned(), connected)).unwrap();
        panic!("as a test that fails");
    });
    let (name, mut connected) = from_test.recv().unwrap();
    assert!(name.starts_with("test_"), "{name}");
    assert!(test.join().is_err());
    let url = server.create_database();
    let there = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
    let is_there = || {
        let psql = Command::new("psql").args([&url, "--no-psqlrc", "-At", "-c", &there]).output().unwrap();
        String::from_utf8(psql.stdout).unwrap().trim() == "1"
    };
    let begun = Instant::now();
    while is_there() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{name} stays");
    }
    // Whoever was connected is not waited for, and notices with what it says next.
    let _ = connected.stdin.take().unwrap().write_all(b"SELECT 1;\n");
    assert!(!connected.wait().unwrap().success(), "the connection was cut");
}

#[test]
fn servers_end_with_a_killed_test() {
    let mut test = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "holder_of_servers_that_is_killed", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(test.stdout.take().unwrap()).lines();
    let servers: Vec<SocketAddr> = lines
        .map_while(Result::ok)
        .filter_map(|line| line.strip_prefix("server ").map(address))
        .take(2)
        .collect();
    assert_eq!(servers.len(), 2);
    assert!(servers.iter().copied().all(listens));
    test.kill().unwrap();
    test.wait().unwrap();
    assert!(servers.into_iter().all(falls_silent));
}

#[test]
#[ignore = "waits to be killed; servers_end_with_a_killed_test starts and kills it"]
fn holder_of_servers_that_is_killed() {
    let postgres = PostgresServer::private(PostgresOptions { fsync: false });
    let redis = RedisServer::private();
    println!("server {}", postgres.create_database());
    println!("server {}", redis.url());
    std::io::stdin().read_line(&mut String::new()).unwrap();
}
