//! What must end with the test process, even when that is killed.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The user a server runs as: the servers refuse to run as root.
#[derive(Debug, Clone, Copy)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// A shell that waits at a pipe only this process holds open, then runs a clean-up. It is a process group of its own,
/// so that what is sent to the group of the test does not reach it.
#[derive(Debug)]
pub(crate) struct Watchdog {
    shell: Child,
}

impl Watchdog {
    /// Runs `before` now (ended by `;` or `&`) and `after` once this value is dropped or this process is gone. Both are
    /// shell code that finds `arguments` in `$1`, `$2`, …
    pub(crate) fn start(
        before: &str,
        after: &str,
        arguments: &[&OsStr],
        user: Option<User>,
        log: &Path,
    ) -> Self {
        // The pipe brings no line, only its end.
        let script = format!("{before} read -r _; {after}");
        let mut command = command("sh".as_ref(), user, log);
        command.arg("-c").arg(script).arg("watchdog").args(arguments).stdin(Stdio::piped());
        Self { shell: command.spawn().expect("a shell can be started") }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        self.shell.wait().expect("the clean-up can be waited for");
    }
}

/// A command in its own process group that writes to `log` only, since a test runner waits for whoever holds its output.
pub(crate) fn command(program: &Path, user: Option<User>, log: &Path) -> Command {
    let output = || {
        let file = std::fs::File::options().create(true).append(true).open(log);
        Stdio::from(file.unwrap_or_else(|error| panic!("cannot write {}: {error}", log.display())))
    };
    let mut command = Command::new(program);
    command.process_group(0).stdin(Stdio::null()).stdout(output()).stderr(output()).current_dir("/");
    if let Some(user) = user {
        command.gid(user.gid).uid(user.uid);
    }
    command
}

/// The program in the first of these directories, or else in those of `PATH`, that has it.
pub(crate) fn find_program(name: &str, directories: &[PathBuf]) -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "where programs are is no configuration of ours")]
    let path = std::env::var_os("PATH").unwrap_or_default();
    directories
        .iter()
        .cloned()
        .chain(std::env::split_paths(&path))
        .map(|directory| directory.join(name))
        .find(|program| program.is_file())
}

/// A port nobody listens at. Somebody else may take it before the server does; the server then fails to start.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a local port can be bound");
    listener.local_addr().expect("a bound listener has an address").port()
}

/// A variable set by a test runner that has started a server for all test processes.
#[expect(
    clippy::disallowed_methods,
    reason = "the test runner's channel to the fixtures; no program reads it"
)]
pub(crate) fn runner_setting(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
