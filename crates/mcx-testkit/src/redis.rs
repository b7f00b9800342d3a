//! A Redis server of one's own.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::watchdog::{Watchdog, find_program, free_port, runner_setting};

/// Names the server that the test runner has started for all test processes.
const RUNNER_URL: &str = "CROSSBAND_TEST_REDIS_URL";

/// A Redis server for tests. What it stores is gone when it stops.
#[derive(Debug)]
pub struct RedisServer {
    url: String,
    private: Option<PrivateServer>,
}

#[derive(Debug)]
struct PrivateServer {
    program: PathBuf,
    port: u16,
    /// Holds the server while it runs.
    running: Mutex<Option<Watchdog>>,
}

impl RedisServer {
    /// The server of this test process: the one the runner names in `CROSSBAND_TEST_REDIS_URL`, or else a private one.
    ///
    /// # Panics
    /// When there is no Redis, saying how to install it.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<RedisServer> = OnceLock::new();
        SHARED.get_or_init(|| match runner_setting(RUNNER_URL) {
            Some(url) => Self { url, private: None },
            None => Self::private(),
        })
    }

    /// A server that this test may stop; ended with this value, or when the test process ends.
    ///
    /// # Panics
    /// When there is no Redis, saying how to install it.
    pub fn private() -> Self {
        let program = find_program("redis-server", &[]).expect(
            "redis-server not found. Redis 7 or later is needed for this test: `apt-get install redis-server`",
        );
        let port = free_port();
        let server = Self {
            url: format!("redis://127.0.0.1:{port}/0"),
            private: Some(PrivateServer { program, port, running: Mutex::new(None) }),
        };
        server.start();
        server
    }

    /// Its url, the same after a restart.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A key prefix nobody else uses, which serves as an empty cache on a shared server.
    pub fn unique_prefix(&self) -> String {
        format!("test-{}", uuid::Uuid::new_v4().simple())
    }

    /// Stops the server, cutting every connection. Returns once it is gone.
    ///
    /// # Panics
    /// When the server is not a private one.
    pub fn stop(&self) {
        let server = self.server();
        drop(server.running.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Starts the stopped server at the same port, empty. Returns once it answers.
    ///
    /// # Panics
    /// When the server is not a private one, or does not start.
    pub fn start(&self) {
        let server = self.server();
        let mut running = server.running.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(running.is_none(), "the server runs already");
        let directory = tempfile::Builder::new().prefix("redis-").tempdir().expect("a directory can be made");
        // Not removed by this process from here on, but by the watchdog, which outlives it.
        let home = directory.keep();
        let log = home.join("redis.log");
        let port = server.port.to_string();
        let arguments = [server.program.as_os_str(), port.as_ref(), home.as_os_str()];
        *running = Some(Watchdog::start(
            r#""$1" --port "$2" --bind 127.0.0.1 --dir "$3" --save '' --appendonly no & pid=$!;"#,
            r#"kill -9 $pid; wait $pid; rm -rf "$3""#,
            &arguments,
            None,
            &log,
        ));
        let answers = (0..200).any(|_| {
            let answered = server.answers();
            if !answered {
                std::thread::sleep(Duration::from_millis(50));
            }
            answered
        });
        let written = || std::fs::read_to_string(&log).unwrap_or_default();
        assert!(answers, "redis-server does not answer:\n{}", written());
    }

    fn server(&self) -> &PrivateServer {
        self.private.as_ref().expect("only a server made by RedisServer::private may be stopped")
    }
}

impl PrivateServer {
    fn answers(&self) -> bool {
        let answer = || -> std::io::Result<[u8; 7]> {
            let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            stream.write_all(b"PING\r\n")?;
            let mut answer = [0; 7];
            stream.read_exact(&mut answer)?;
            Ok(answer)
        };
        answer().is_ok_and(|answer| answer == *b"+PONG\r\n")
    }
}
