//! The memory of a process that serves one entity and has nothing to do.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use crossband::dev::DevSystem;

use crate::metrics;
use crate::process::resident_mb;

/// How long the process may take to become ready, and is then left alone before it is looked at.
const READY_WITHIN: Duration = Duration::from_secs(10);
const SETTLES_WITHIN: Duration = Duration::from_secs(2);

/// Starts `crossband serve sip-database` on the database and the certificates of a system, and says how much memory it has when it is ready.
pub(crate) async fn sip_database_mb(system: &DevSystem, directory: &Path, database: &str) -> Result<f64> {
    let program = std::env::current_exe()?.with_file_name("crossband");
    ensure!(program.is_file(), "the program crossband is not beside this one; `make bench` builds both");
    let url_file = directory.join("idle-database-url");
    std::fs::write(&url_file, database)?;
    let id = system.system.id.as_str();
    let visitors = format!("visitors.{id}");
    let certificates = &system.certificates.directory;
    let key_file = directory.join(id).join("key-encryption-keys.toml");
    let admin = free_address()?;
    let config = format!(
        "mc_system_id = {id:?}\n\
         [certificates]\ndirectory = {certificates:?}\n\
         [listen]\ngrpc = \"127.0.0.1:0\"\nadmin = \"{admin}\"\n\
         [database]\nurl_file = {url_file:?}\n\
         [cache]\nurl = \"memory:\"\n\
         [sip_database]\nkey_file = {key_file:?}\n\
         [sip_core]\nrealm = {id:?}\nvisitor_realm = {visitors:?}\n",
    );
    let config_file = directory.join("idle.toml");
    std::fs::write(&config_file, config)?;
    let mut command = Command::new(program);
    command.args(["serve", "sip-database", "--config"]).arg(&config_file);
    let mut process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let measured = measure(process.id(), admin).await;
    process.kill()?;
    process.wait()?;
    measured
}

async fn measure(pid: u32, admin: SocketAddr) -> Result<f64> {
    let ready = async {
        while !metrics::is_ready(admin).await.unwrap_or(false) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(READY_WITHIN, ready).await.context("crossband serve sip-database is not ready")?;
    tokio::time::sleep(SETTLES_WITHIN).await;
    resident_mb(pid)
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
