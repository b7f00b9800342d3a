//! A Postgres cluster of one's own.

use std::cell::RefCell;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::watchdog::{User, Watchdog, command, find_program, free_port, runner_setting};

/// Names the server that the test runner has started for all test processes.
const RUNNER_URL: &str = "CROSSBAND_TEST_POSTGRES_URL";

const HOW_TO_INSTALL: &str = "Postgres 15 or later is needed for this test: `apt-get install postgresql`";

/// How a private cluster is set up.
#[derive(Debug, Clone, Copy)]
pub struct PostgresOptions {
    /// Whether commits reach the disk; without, tests are faster and a crash may lose what was committed.
    pub fsync: bool,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self { fsync: true }
    }
}

/// A Postgres server for tests.
#[derive(Debug)]
pub struct PostgresServer {
    /// Url of its maintenance database.
    maintenance_url: String,
    psql: PathBuf,
    private: Option<PrivateCluster>,
}

#[derive(Debug)]
struct PrivateCluster {
    pg_ctl: PathBuf,
    home: PathBuf,
    user: Option<User>,
    server_options: String,
    /// Stops the server and removes the files.
    _watchdog: Watchdog,
}

impl PostgresServer {
    /// The server of this test process: the one the runner names in `CROSSBAND_TEST_POSTGRES_URL`, or else a private one.
    ///
    /// # Panics
    /// When there is no Postgres, saying how to install it.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<PostgresServer> = OnceLock::new();
        SHARED.get_or_init(|| match runner_setting(RUNNER_URL) {
            Some(maintenance_url) => Self { maintenance_url, psql: program("psql"), private: None },
            None => Self::private(PostgresOptions::default()),
        })
    }

    /// A cluster that this test may stop; removed with this value, or when the test process ends.
    ///
    /// # Panics
    /// When there is no Postgres, saying how to install it.
    pub fn private(options: PostgresOptions) -> Self {
        let user = server_user();
        let directory = tempfile::Builder::new().prefix("pg-").tempdir().expect("a directory can be made");
        if let Some(user) = user {
            chown(directory.path(), Some(user.uid), Some(user.gid)).expect("root can give a directory away");
        }
        let pg_ctl = program("pg_ctl");
        // Not removed by this process from here on, but by the watchdog, which outlives it.
        let home = directory.keep();
        let cleanup = r#""$1" -D "$2/data" -m immediate -w stop; rm -rf "$2""#;
        let arguments = [pg_ctl.as_os_str(), home.as_os_str()];
        let watchdog = Watchdog::start("", cleanup, &arguments, user, Path::new("/dev/null"));

        let log = home.join("initdb.log");
        let mut initdb = command(&program("initdb"), user, &log);
        initdb.arg("-D").arg(home.join("data")).args(["-U", "postgres", "-A", "trust", "-E", "UTF8"]);
        initdb.args(["--locale=C", "--no-sync"]);
        succeed(initdb, &log);

        let port = free_port();
        let fsync = if options.fsync { "on" } else { "off" };
        let server_options = format!(
            "-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories='' -c fsync={fsync} \
             -c max_connections=200 -c shared_buffers=32MB"
        );
        let server = Self {
            maintenance_url: format!("postgres://postgres@127.0.0.1:{port}/postgres"),
            psql: program("psql"),
            private: Some(PrivateCluster { pg_ctl, home, user, server_options, _watchdog: watchdog }),
        };
        server.start();
        server
    }

    /// Makes an empty database and returns its url. It is dropped once the calling thread has ended, which is that of the test, however
    /// the test ends and whoever is still connected; so call it from the test itself, not from a thread that ends before.
    ///
    /// # Panics
    /// When it fails.
    pub fn create_database(&self) -> String {
        let name = format!("test_{}", uuid::Uuid::new_v4().simple());
        self.execute(&format!("CREATE DATABASE {name}"));
        let database = TestDatabase {
            name: name.clone(),
            maintenance_url: self.maintenance_url.clone(),
            psql: self.psql.clone(),
        };
        OF_THIS_TEST.with_borrow_mut(|databases| databases.0.push(database));
        // The name of the database is all that follows the last slash, but for parameters.
        let (base, parameters) = match self.maintenance_url.split_once('?') {
            Some((base, parameters)) => (base, format!("?{parameters}")),
            None => (self.maintenance_url.as_str(), String::new()),
        };
        let (server, _) = base.rsplit_once('/').expect("a Postgres url names a database");
        format!("{server}/{name}{parameters}")
    }

    /// Runs one statement in the maintenance database, such as one that ends everybody's connections.
    ///
    /// # Panics
    /// When it fails.
    pub fn execute(&self, statement: &str) {
        let mut psql = Command::new(&self.psql);
        psql.args(["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--command", statement]);
        let output = psql.arg(&self.maintenance_url).output().expect("psql can be run");
        assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Stops the server as a crash would: without a checkpoint, every connection cut. Returns once it is gone.
    ///
    /// # Panics
    /// When the server is not a private one.
    pub fn stop_immediate(&self) {
        self.control(&["-m", "immediate", "-w", "stop"], &[]);
    }

    /// Starts the stopped server at the same port with the same data. Returns once it accepts connections.
    ///
    /// # Panics
    /// When the server is not a private one, or does not start.
    pub fn start(&self) {
        let cluster = self.cluster();
        let log = cluster.home.join("postgres.log");
        self.control(
            &["-w", "-l"],
            &[log.as_os_str(), "-o".as_ref(), cluster.server_options.as_ref(), "start".as_ref()],
        );
    }

    fn control(&self, arguments: &[&str], more: &[&std::ffi::OsStr]) {
        let cluster = self.cluster();
        let log = cluster.home.join("pg_ctl.log");
        let mut pg_ctl = command(&cluster.pg_ctl, cluster.user, &log);
        pg_ctl.arg("-D").arg(cluster.home.join("data")).args(arguments).args(more);
        succeed(pg_ctl, &log);
    }

    fn cluster(&self) -> &PrivateCluster {
        self.private.as_ref().expect("only a server made by PostgresServer::private may be stopped")
    }
}

thread_local! {
    /// Every test has a thread of its own, under each runner: what ends with the thread cannot be forgotten by a test.
    static OF_THIS_TEST: RefCell<TestDatabases> = const { RefCell::new(TestDatabases(Vec::new())) };
}

#[derive(Debug)]
struct TestDatabase {
    name: String,
    maintenance_url: String,
    psql: PathBuf,
}

#[derive(Debug)]
struct TestDatabases(Vec<TestDatabase>);

impl Drop for TestDatabases {
    fn drop(&mut self) {
        // Nothing may panic here: it would end the process. Nor is it waited for, since the server makes a checkpoint first: the next test
        // may begin meanwhile, and this process end. What stays behind goes with its server; a private one may be gone already.
        for TestDatabase { name, maintenance_url, psql } in self.0.drain(..) {
            let mut drop_database = command(&psql, None, Path::new("/dev/null"));
            drop_database.args(["--no-psqlrc", "--quiet", "--command"]);
            drop_database.arg(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).arg(maintenance_url);
            let _ = drop_database.spawn();
        }
    }
}

/// Runs the command to its end, or fails with what it wrote.
fn succeed(mut command: Command, log: &Path) {
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let written = || std::fs::read_to_string(log).unwrap_or_default();
    assert!(status.success(), "{command:?}: {status}\n{}", written());
}

/// From Debian's directory of the newest version, or from `PATH`.
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(version, _)| *version >= 15)
        .collect();
    versions.sort();
    let directories: Vec<PathBuf> = versions.into_iter().rev().map(|(_, directory)| directory).collect();
    find_program(name, &directories).unwrap_or_else(|| panic!("{name} not found. {HOW_TO_INSTALL}"))
}

/// `postgres` when we are root; ourselves otherwise.
fn server_user() -> Option<User> {
    let ourselves = std::fs::metadata("/proc/self").expect("Linux tells about processes").uid();
    if ourselves != 0 {
        return None;
    }
    let accounts = std::fs::read_to_string("/etc/passwd").expect("the accounts can be read");
    let account = accounts.lines().find_map(|line| line.strip_prefix("postgres:"));
    let mut fields = account
        .unwrap_or_else(|| {
            panic!("Postgres does not run as root and there is no user postgres. {HOW_TO_INSTALL}")
        })
        .split(':')
        .skip(1)
        .map(|field| field.parse::<u32>().expect("user and group are numbers"));
    let (uid, gid) = (fields.next(), fields.next());
    Some(User { uid: uid.expect("an account has a user"), gid: gid.expect("an account has a group") })
}
