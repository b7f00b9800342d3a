//! What the loader makes of its sources, and what it says about them.

use std::io::Write;

use mcx_types::Violations;
use schemars::JsonSchema;
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};

use super::*;
use crate::server::ServerConfig;
use crate::telemetry::TelemetryConfig;

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Config {
    server: ServerConfig,
    telemetry: TelemetryConfig,
    database: Database,
}

#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Database {
    pool: u32,
    replicas: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<SecretSource>,
}

impl Settings for Config {
    fn validate(&self, violations: &mut Violations) {
        validate_section("server", &self.server, violations);
        validate_section("telemetry", &self.telemetry, violations);
        if self.database.pool > 100 {
            violations.add("database.pool", "must be 100 or less");
        }
    }
}

fn file_with(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

#[test]
fn without_any_source_the_defaults_hold_and_are_valid() {
    let config: Config = Loader::new().load().unwrap();
    assert_eq!(config.server, ServerConfig::default());
    assert_eq!(config.telemetry, TelemetryConfig::default());
}

#[test]
fn later_sources_win_key_by_key() {
    let file =
        file_with("[server]\nmax_call_duration = \"2s\"\nmax_concurrent_calls = 5\n[database]\npool = 3\n");
    let config: Config = Loader::new()
        .file(file.path())
        .variables(variables(&[
            ("CROSSBAND_SERVER__MAX_CONCURRENT_CALLS", "6"),
            ("CROSSBAND_DATABASE__POOL", "7"),
            ("CROSSBAND_DATABASE__REPLICAS", r#"["one", "two"]"#),
        ]))
        .flag("--pool", "database.pool", "8")
        .load()
        .unwrap();
    assert_eq!(config.server.max_call_duration.as_secs(), 2);
    assert_eq!(config.server.max_concurrent_calls, 6);
    assert_eq!(
        (config.database.pool, config.database.replicas),
        (8, vec!["one".to_owned(), "two".to_owned()])
    );
}

#[test]
fn every_problem_is_reported_at_once_with_its_key_and_where_it_came_from() {
    let file = file_with(
        "typo = 1\n[server]\nmax_cals = 1\nmax_concurrent_streams = \"many\"\nmax_request_bytes = 0\n[databse]\npool = 1\n",
    );
    let path = file.path().display().to_string();
    let error = Loader::new()
        .file(file.path())
        .variables(variables(&[
            ("CROSSBAND_DATABASE__POOL", "101"),
            ("CROSSBAND_SERVER__DRAIN_TIMEOUT", "whenever"),
            ("CROSSBAND_DATABASE__REPLICAS", "[unfinished"),
        ]))
        .flag("--log-level", "telemetry.sampling_ratio", "1.5")
        .load::<Config>()
        .unwrap_err();
    assert_eq!(error.exit_code(), 64);
    let mut found: Vec<(&str, &str)> = error
        .problems
        .iter()
        .map(|problem| (problem.key.as_str(), problem.origin.as_deref().unwrap_or("default")))
        .collect();
    found.sort_unstable();
    assert_eq!(
        found,
        [
            ("database.pool", "environment variable CROSSBAND_DATABASE__POOL"),
            ("database.replicas", "environment variable CROSSBAND_DATABASE__REPLICAS"),
            ("databse", path.as_str()),
            ("server.drain_timeout", "environment variable CROSSBAND_SERVER__DRAIN_TIMEOUT"),
            ("server.max_cals", path.as_str()),
            ("server.max_concurrent_streams", path.as_str()),
            ("server.max_request_bytes", path.as_str()),
            ("telemetry.sampling_ratio", "flag --log-level"),
            ("typo", path.as_str()),
        ],
        "{error}"
    );
}

#[test]
fn variables_that_kubernetes_makes_of_services_are_not_configuration() {
    let foreign = [("CROSSBAND_SIP_CORE_SERVICE_HOST", "10.0.0.1"), ("PATH", "/bin"), ("OTHER__KEY", "1")];
    assert!(Loader::new().variables(variables(&foreign)).load::<Config>().is_ok());
}

#[test]
fn a_required_file_that_is_missing_or_broken_is_named() {
    let missing = Loader::new().file("/nonexistent/crossband.toml").load::<Config>().unwrap_err();
    assert!(missing.to_string().contains("/nonexistent/crossband.toml"), "{missing}");
    let broken_file = file_with("[server\nkey = \"hunter2\"\n");
    let broken = Loader::new().file(broken_file.path()).load::<Config>().unwrap_err();
    assert!(broken.to_string().contains(&broken_file.path().display().to_string()), "{broken}");
    assert!(Loader::new().optional_file("/nonexistent/crossband.toml").load::<Config>().is_ok());
}

#[test]
fn a_secret_is_masked_in_every_print_and_its_file_is_named() {
    let config: Config = Loader::new()
        .variables(variables(&[("CROSSBAND_DATABASE__PASSWORD__VALUE", "hunter2")]))
        .load()
        .unwrap();
    for shown in [print(&config).unwrap(), format!("{config:?}"), serde_json::to_string(&config).unwrap()] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
    assert_eq!(config.database.password.unwrap().read().unwrap().expose_secret(), "hunter2");

    let secret_file = file_with("hunter3\n");
    let path = secret_file.path().display().to_string();
    let config: Config =
        Loader::new().flag("--password-file", "database.password.file", &path).load().unwrap();
    assert!(print(&config).unwrap().contains(&path));
    assert_eq!(config.database.password.unwrap().read().unwrap().expose_secret(), "hunter3");
}

#[test]
fn a_secret_in_the_wrong_form_is_refused_without_being_repeated() {
    for text in [
        "password = \"hunter2\"",
        "password = { valeu = \"hunter2\" }",
        "password = { value = \"hunter2\", file = \"x\" }",
    ] {
        let file = file_with(&format!("[database]\n{text}\n"));
        let error = Loader::new().file(file.path()).load::<Config>().unwrap_err().to_string();
        assert!(error.contains("database.password") && !error.contains("hunter2"), "{error}");
    }
    let unparsable = variables(&[("CROSSBAND_DATABASE__PASSWORD", "{ value = hunter2")]);
    let error = Loader::new().variables(unparsable).load::<Config>().unwrap_err().to_string();
    assert!(error.contains("database.password") && !error.contains("hunter2"), "{error}");
}

#[test]
fn a_secret_that_cannot_be_had_is_an_error_with_its_path() {
    let missing = SecretSource::File("/nonexistent/key".into()).read().unwrap_err();
    assert!(missing.to_string().contains("/nonexistent/key"), "{missing}");
    let empty_file = file_with("\n");
    let empty = SecretSource::File(empty_file.path().to_owned()).read().unwrap_err();
    assert!(matches!(empty, SecretError::Empty { .. }), "{empty}");
}

#[test]
fn what_is_printed_can_be_read_again() {
    let printed = print(&Config::default()).unwrap();
    let file = file_with(&printed);
    let config: Config = Loader::new().file(file.path()).load().unwrap();
    assert_eq!(print(&config).unwrap(), printed);
}

#[test]
fn the_schema_refuses_unknown_keys_and_tells_what_each_key_is() {
    let schema = schema::<Config>();
    let server = &schema["$defs"]["ServerConfig"];
    assert_eq!(server["additionalProperties"], false, "{schema:#}");
    assert_eq!(server["properties"]["drain_timeout"]["type"], "string");
    assert!(server["properties"]["max_concurrent_calls"]["description"].is_string());
}

#[test]
fn the_variable_of_a_key_is_found_again_by_the_loader() {
    let name = environment_variable("database.pool");
    let config: Config = Loader::new().variables([(name, "9".to_owned())]).load().unwrap();
    assert_eq!(config.database.pool, 9);
}
