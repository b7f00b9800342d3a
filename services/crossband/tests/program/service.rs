//! `crossband serve sip-database`, set up with the commands that an operator uses.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use mcx_types::{Entity, McSystemId};
use sip_database::client::{SipAuthenticationClient, SubscriberClient};
use tempfile::TempDir;

use crate::ports::PortBlock;
use crate::program::{Daemon, crossband, run_well};
use crate::vectors;

/// How far the ports of a replica are from those of the one before.
const REPLICA: u16 = 10;

/// A SIP database of `alpha.example` on its own: certificates, key file, configuration and migrated schema.
pub(crate) struct SipDatabase {
    pub(crate) folder: TempDir,
    ports: PortBlock,
}

impl SipDatabase {
    /// Everything but the running program. The caches and the database are those of the urls; an `sqlite` database is in the folder.
    pub(crate) fn set_up(database: Option<&str>, cache: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        run_well(["certs", "--mc-system", "alpha.example", "--directory", &path("certificates")]);
        run_well(["key-file", "create", &path("keys.toml"), "--id", "first"]);
        let sqlite = format!("sqlite:{}", folder.path().display());
        let configuration = format!(
            "mc_system_id = 'alpha.example'\n\
             [certificates]\ndirectory = '{}'\n\
             [database]\nurl = '{}'\n\
             [cache]\nurl = '{cache}'\n\
             [sip_database]\nkey_file = '{}'\n\
             [sip_core]\nrealm = 'alpha.example'\n",
            path("certificates"),
            database.unwrap_or(&sqlite),
            path("keys.toml"),
        );
        std::fs::write(folder.path().join("crossband.toml"), configuration).unwrap();
        Self { folder, ports: PortBlock::reserve() }
    }

    pub(crate) fn configuration(&self) -> PathBuf {
        self.folder.path().join("crossband.toml")
    }

    /// Makes the schema.
    pub(crate) fn migrate(&self) {
        let configuration = self.configuration();
        run_well(["migrate", "sip-database", "--config", configuration.to_str().unwrap()]);
    }

    /// Where a replica listens for gRPC.
    pub(crate) fn grpc(&self, replica: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports.base + replica * REPLICA))
    }

    /// Where a replica listens for probes.
    pub(crate) fn admin(&self, replica: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports.base + replica * REPLICA + 1))
    }

    /// The command that serves a replica.
    pub(crate) fn serve(&self, replica: u16) -> Command {
        let configuration = self.configuration();
        let mut command = crossband([
            "serve".as_ref(),
            "sip-database".as_ref(),
            "--config".as_ref(),
            configuration.as_os_str(),
        ]);
        command
            .env("CROSSBAND_LISTEN__GRPC", self.grpc(replica).to_string())
            .env("CROSSBAND_LISTEN__ADMIN", self.admin(replica).to_string());
        command
    }

    /// Starts a replica; it need not serve yet.
    pub(crate) fn start(&self, replica: u16) -> Daemon {
        let logs = self.folder.path().join(format!("replica-{replica}"));
        std::fs::create_dir_all(&logs).unwrap();
        Daemon::start(self.serve(replica), &logs)
    }

    /// Starts a replica, and waits until it serves.
    pub(crate) fn start_and_wait(&self, replica: u16) -> Daemon {
        let mut daemon = self.start(replica);
        self.wait_until_serving(&mut daemon, replica);
        daemon
    }

    /// Waits until a replica serves.
    pub(crate) fn wait_until_serving(&self, daemon: &mut Daemon, replica: u16) {
        let admin = self.admin(replica).to_string();
        daemon.wait_until("serving", || {
            crate::program::run(["healthcheck", "--admin", &admin]).status.success()
        });
    }

    fn channel(&self, caller: &str, replica: u16) -> tonic::transport::Channel {
        let system: McSystemId = "alpha.example".parse().unwrap();
        let certificates = self.folder.path().join("certificates");
        vectors::channel(&certificates, caller, &system, Entity::SipDatabase, self.grpc(replica))
    }

    /// Asks a replica as the own SIP core.
    pub(crate) fn sip_core(&self, replica: u16) -> SipAuthenticationClient {
        vectors::sip_core(self.channel("sip-core", replica))
    }

    /// Asks a replica as the operator.
    pub(crate) fn operator(&self, replica: u16) -> SubscriberClient {
        vectors::operator(self.channel("operator", replica))
    }
}
