//! `crossband dev`, started and ready.

use std::path::Path;
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;

use crate::ports::PortBlock;
use crate::program::{Daemon, PATIENCE, crossband, pause};

pub(crate) const ALPHA: &str = "alpha.example";
pub(crate) const BRAVO: &str = "bravo.example";

/// The two federated systems of `crossband dev`, everything serving.
pub(crate) struct Systems {
    /// The ready file.
    pub(crate) ready: Value,
    pub(crate) daemon: Daemon,
    pub(crate) ports: PortBlock,
    pub(crate) folder: TempDir,
}

impl Systems {
    /// Both systems, with nothing kept from before.
    pub(crate) fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap())
    }

    /// Both systems, with what an earlier run kept in this folder, at other ports.
    pub(crate) fn start_in(folder: TempDir) -> Self {
        let ports = PortBlock::reserve();
        let ready_file = folder.path().join("ready.json");
        if ready_file.exists() {
            std::fs::remove_file(&ready_file).unwrap();
        }
        let command = crossband([
            "dev".as_ref(),
            "--data-dir".as_ref(),
            folder.path().join("data").as_os_str(),
            "--port-base".as_ref(),
            ports.base.to_string().as_ref(),
            "--ready-file".as_ref(),
            ready_file.as_os_str(),
        ]);
        let mut daemon = Daemon::start(command, folder.path());
        daemon.wait_until("ready", || ready_file.exists());
        let ready = std::fs::read_to_string(&ready_file).unwrap();
        Self { ready: serde_json::from_str(&ready).unwrap(), daemon, ports, folder }
    }

    /// Ends both in good order and keeps their folder.
    pub(crate) fn stop(self) -> TempDir {
        self.daemon.stop();
        self.folder
    }

    /// Waits until something is so that comes of their running; fails when they end before.
    pub(crate) fn wait_until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let hopeless = Instant::now() + PATIENCE;
        while !is_so(self) {
            self.daemon.assert_running();
            assert!(Instant::now() < hopeless, "not {what}: {}", self.daemon.logged());
            pause();
        }
    }

    /// What the ready file says of a system.
    pub(crate) fn entry(&self, system: &str, key: &str) -> &str {
        self.ready["systems"][system][key].as_str().unwrap()
    }

    /// What the ready file says of a user.
    pub(crate) fn subscriber(&self, name: &str) -> &Value {
        let subscribers = self.ready["subscribers"].as_array().unwrap();
        subscribers.iter().find(|subscriber| subscriber["name"] == name).unwrap()
    }

    /// The folder with the certificates of a system.
    pub(crate) fn certificates(&self, system: &str) -> &Path {
        Path::new(self.entry(system, "ca_pem")).parent().unwrap()
    }

    /// Where the ready file is.
    pub(crate) fn ready_file(&self) -> String {
        self.folder.path().join("ready.json").display().to_string()
    }

    /// `crossband ue`, with the ready file; what it printed.
    pub(crate) fn ue(&self, action: &str, more: &[&str]) -> String {
        let ready_file = self.ready_file();
        let arguments = ["ue", action, "--ready-file", &ready_file];
        crate::program::run_well(arguments.iter().chain(more))
    }
}
