//! Runs `crossband`, to its end or beside the test.

use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// After this a test fails instead of hanging. Nothing is measured with it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// The program, in an environment in which nothing is set.
pub(crate) fn crossband<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crossband"));
    command.env_clear().args(arguments).stdin(Stdio::null());
    command
}

/// Runs the program to its end.
pub(crate) fn run<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Output {
    crossband(arguments).output().expect("the program can be started")
}

/// Runs the program to its end, which must be a good one, and returns what it printed.
pub(crate) fn run_well<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> String {
    let output = run(arguments);
    assert!(output.status.success(), "{}: {}", output.status, errors(&output));
    printed(&output)
}

/// What a command printed.
pub(crate) fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a command complained of.
pub(crate) fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The program, running beside the test. It is killed with this value, and when the test process is gone.
pub(crate) struct Daemon {
    child: Child,
    watchdog: Option<Child>,
    folder: PathBuf,
}

impl Daemon {
    /// Starts the program; what it prints and logs goes to files in `folder`.
    pub(crate) fn start(mut command: Command, folder: &Path) -> Self {
        let output = |name: &str| File::create(folder.join(name)).expect("the folder can be written to");
        let child = command.stdout(output("stdout")).stderr(output("stderr")).spawn();
        let child = child.expect("the program can be started");
        // The pipe brings no line, only its end, which comes even when the test process is killed.
        let watchdog = Command::new("sh")
            .args(["-c", "read -r _; kill -s KILL \"$1\" 2>/dev/null", "watchdog", &child.id().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell can be started");
        Self { child, watchdog: Some(watchdog), folder: folder.to_owned() }
    }

    /// What the program printed until now.
    pub(crate) fn printed(&self) -> String {
        std::fs::read_to_string(self.folder.join("stdout")).unwrap_or_default()
    }

    /// What the program logged until now.
    pub(crate) fn logged(&self) -> String {
        std::fs::read_to_string(self.folder.join("stderr")).unwrap_or_default()
    }

    /// Waits until something is so that comes of the program's running; fails when the program ends before.
    pub(crate) fn wait_until(&mut self, what: &str, mut is_so: impl FnMut() -> bool) {
        let hopeless = Instant::now() + PATIENCE;
        while !is_so() {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("{status} before {what}: {}", self.logged());
            }
            assert!(Instant::now() < hopeless, "not {what}: {}", self.logged());
            pause();
        }
    }

    /// Asks the program to end, as `kill` does.
    pub(crate) fn ask_to_end(&self) {
        assert!(signal("TERM", &[self]), "the program is gone: {}", self.logged());
    }

    /// Waits for the end of the program.
    pub(crate) fn wait(mut self) -> ExitStatus {
        let hopeless = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < hopeless, "the program does not end: {}", self.logged());
            pause();
        }
    }

    /// Asks the program to end, and checks that it ends well.
    pub(crate) fn stop(self) {
        self.ask_to_end();
        let folder = self.folder.clone();
        let status = self.wait();
        let logged = std::fs::read_to_string(folder.join("stderr")).unwrap_or_default();
        assert!(status.success(), "{status}: {logged}");
    }

    /// Ends the program as a power cut would: `kill -9`.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("the program can be killed");
        self.child.wait().expect("the program was started by us");
    }

    /// Fails where the program has ended by itself.
    pub(crate) fn assert_running(&mut self) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("{status}: {}", self.logged());
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already, or been waited for.
        let _ = self.child.kill();
        if let Some(mut watchdog) = self.watchdog.take() {
            // Ended rather than let loose: the number of the process may be another's by now.
            let _ = watchdog.kill();
            let _ = watchdog.wait();
        }
        let _ = self.child.wait();
    }
}

/// Sends programs a signal; says whether all were there to get it.
pub(crate) fn signal(name: &str, programs: &[&Daemon]) -> bool {
    let ids = programs.iter().map(|daemon| daemon.child.id().to_string());
    let mut shell = Command::new("sh");
    shell.args(["-c", "kill -s \"$@\"", "signal", name]).args(ids);
    shell.status().expect("a shell can be started").success()
}

/// Between two looks at something that another process does.
pub(crate) fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}
