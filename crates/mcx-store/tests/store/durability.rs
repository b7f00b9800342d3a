//! What was acknowledged survives: on SQLite the death of the process, on Postgres a server that is set to be careless.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use mcx_store::{Database, DatabaseConfig};
use mcx_testkit::PostgresServer;

use crate::fixture::SCHEMA;

const INSERT: &str = "INSERT INTO items (id, name) VALUES ($1, 'item ' || $2)";

#[tokio::test]
async fn commits_are_synchronous_on_a_postgres_that_is_set_otherwise() {
    let url = PostgresServer::shared().create_database();
    let name = url.rsplit('/').next().and_then(|name| name.split('?').next()).unwrap();
    PostgresServer::shared().execute(&format!("ALTER DATABASE {name} SET synchronous_commit = off"));
    let database = Database::open(&DatabaseConfig::from_url(url.clone()), &SCHEMA).unwrap();
    database.migrate().await.unwrap();
    let setting: (String,) = database.statement("SHOW synchronous_commit").fetch_one().await.unwrap();
    assert_eq!(setting.0, "on");
}

#[test]
fn commits_survive_kill_9_on_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    for round in 1..=3 {
        let mut writer = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "durability::writer_that_is_killed", "--ignored", "--nocapture"])
            .current_dir(directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(writer.stdout.take().unwrap()).lines();
        let acknowledged: Vec<i64> = lines
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix("committed ")?.parse().ok())
            .take(100)
            .collect();
        writer.kill().unwrap();
        writer.wait().unwrap();
        assert_eq!(acknowledged.len(), 100);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let url = format!("sqlite:{}", directory.path().display());
            let database = Database::open(&DatabaseConfig::from_url(url), &SCHEMA).unwrap();
            for id in acknowledged {
                let found =
                    database.statement("SELECT id FROM items WHERE id = $1").bind(id).fetch_one().await;
                assert_eq!(found, Ok((id,)), "round {round}");
            }
        });
    }
}

#[tokio::test]
#[ignore = "runs without end; commits_survive_kill_9_on_sqlite starts and kills it"]
async fn writer_that_is_killed() {
    let database = Database::open(&DatabaseConfig::from_url("sqlite:."), &SCHEMA).unwrap();
    database.migrate().await.unwrap();
    let (newest,): (i64,) =
        database.statement("SELECT COALESCE(MAX(id), 0) FROM items").fetch_one().await.unwrap();
    for id in newest + 1.. {
        database.statement(INSERT).bind(id).bind(id.to_string()).execute().await.unwrap();
        println!("committed {id}");
    }
}
