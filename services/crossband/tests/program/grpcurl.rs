//! grpcurl, an independent client that knows the services only by reflection.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::program::{errors, printed};
use crate::systems::Systems;

const HOW_TO_INSTALL: &str = "grpcurl not found. It is needed for this test: run scripts/setup-tools test";

/// The program that the test runner names, or else the one that `scripts/setup-tools` installed.
fn program() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "the test runner's channel to the fixtures")]
    let named = std::env::var_os("CROSSBAND_TEST_GRPCURL").filter(|named| !named.is_empty());
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../.tools/bin/grpcurl");
    let program = named.map_or(installed, PathBuf::from);
    assert!(program.exists(), "{HOW_TO_INSTALL}");
    program
}

/// Calls at one listener with one certificate.
pub(crate) struct Grpcurl {
    address: String,
    certificates: Vec<String>,
}

/// Why a call was refused.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The gRPC code, as grpcurl spells it.
    pub(crate) code: String,
    /// The reason of the `google.rpc.ErrorInfo` in the details.
    pub(crate) reason: String,
}

impl Refused {
    pub(crate) fn new(code: &str, reason: &str) -> Self {
        Self { code: code.to_owned(), reason: reason.to_owned() }
    }
}

impl Grpcurl {
    /// A system's listener `grpc` or `peer`, called as somebody of a system.
    pub(crate) fn new(
        systems: &Systems,
        (system, listener): (&str, &str),
        (home, caller): (&str, &str),
    ) -> Self {
        let folder = systems.certificates(home);
        let certificates = [
            ("-cacert", systems.entry(system, "ca_pem").to_owned()),
            ("-cert", folder.join(format!("{caller}.pem")).display().to_string()),
            ("-key", folder.join(format!("{caller}-key.pem")).display().to_string()),
        ];
        Self {
            address: systems.entry(system, listener).to_owned(),
            certificates: certificates.into_iter().flat_map(|(flag, file)| [flag.to_owned(), file]).collect(),
        }
    }

    /// A UE at the listener for UEs, which shows no certificate.
    pub(crate) fn ue(systems: &Systems, system: &str) -> Self {
        Self {
            address: systems.entry(system, "client").to_owned(),
            certificates: vec!["-cacert".to_owned(), systems.entry(system, "ca_pem").to_owned()],
        }
    }

    /// The operator of a system at its internal listener, with the files that the ready file names.
    pub(crate) fn operator(systems: &Systems, system: &str) -> Self {
        let entry = |key| systems.entry(system, key).to_owned();
        let certificates = [
            ("-cacert", entry("ca_pem")),
            ("-cert", entry("operator_cert_pem")),
            ("-key", entry("operator_key_pem")),
        ];
        Self {
            address: entry("grpc"),
            certificates: certificates.into_iter().flat_map(|(flag, file)| [flag.to_owned(), file]).collect(),
        }
    }

    fn command(&self, data: Option<&str>, what: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.env_clear().args(&self.certificates).args(["-format-error", "-connect-timeout", "30"]);
        if let Some(data) = data {
            command.args(["-d", data]);
        }
        command.arg(&self.address).args(what).stdin(Stdio::null());
        command
    }

    fn output(&self, data: Option<&str>, what: &[&str]) -> Output {
        self.command(data, what).output().expect("grpcurl can be started")
    }

    /// The services that the listener lists.
    pub(crate) fn list(&self) -> Vec<String> {
        self.say(&["list"]).lines().map(str::to_owned).collect()
    }

    /// What reflection tells of a symbol, with its comments.
    pub(crate) fn describe(&self, symbol: &str) -> String {
        self.say(&["describe", symbol])
    }

    fn say(&self, what: &[&str]) -> String {
        let output = self.output(None, what);
        assert!(output.status.success(), "{what:?}: {}", errors(&output));
        printed(&output)
    }

    /// Calls a method with one message, or with several one after the other.
    pub(crate) fn call(&self, method: &str, data: &Value) -> Result<Value, Refused> {
        let data = data.to_string();
        let output = self.output(Some(&data), &[method]);
        if output.status.success() {
            return Ok(serde_json::from_str(&printed(&output)).unwrap());
        }
        let said = errors(&output);
        let status: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{method}: {said}"));
        let code = status["code"].as_u64().unwrap();
        let details = status["details"].as_array().cloned().unwrap_or_default();
        let reason = details.iter().find_map(|detail| detail["reason"].as_str()).unwrap_or_default();
        Err(Refused::new(code_name(code), reason))
    }

    /// Calls a method that must answer.
    pub(crate) fn ask(&self, method: &str, data: &Value) -> Value {
        self.call(method, data).unwrap_or_else(|refused| panic!("{method}: {refused:?}"))
    }

    /// The first message of a stream that does not end by itself.
    pub(crate) fn first_of(&self, method: &str, data: &Value) -> Value {
        let data = data.to_string();
        let mut running = self.command(Some(&data), &[method]).stdout(Stdio::piped()).spawn().unwrap();
        let mut message = String::new();
        for line in BufReader::new(running.stdout.take().unwrap()).lines() {
            message.push_str(&line.unwrap());
            if let Ok(message) = serde_json::from_str(&message) {
                running.kill().unwrap();
                running.wait().unwrap();
                return message;
            }
        }
        panic!("{method} ended: {:?}", running.wait());
    }
}

/// The codes that tests expect, of the sixteen.
fn code_name(code: u64) -> &'static str {
    match code {
        3 => "InvalidArgument",
        5 => "NotFound",
        6 => "AlreadyExists",
        7 => "PermissionDenied",
        9 => "FailedPrecondition",
        10 => "Aborted",
        _ => "another code",
    }
}
