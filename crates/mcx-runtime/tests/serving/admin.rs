//! Probes, metrics and the log level, over plain HTTP.

use std::net::SocketAddr;

use mcx_runtime::admin::Admin;
use mcx_runtime::readiness::{Readiness, Weight};
use mcx_runtime::server::ServerConfig;
use mcx_runtime::telemetry::{Telemetry, TelemetryConfig};
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::harness::{System, TestService};

/// The status and the body of the answer.
async fn http(address: SocketAddr, method: &str, path: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: admin\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[tokio::test]
async fn readyz_tells_which_latch_of_which_service_is_down() {
    let readiness = Readiness::new("sip-database");
    let database = readiness.latch("database", Weight::Required);
    let cache = readiness.latch("cache", Weight::Degrading);
    let admin = Admin::bind(([127, 0, 0, 1], 0).into(), vec![readiness.clone()]).await.unwrap();
    let address = admin.address();
    let shutdown = CancellationToken::new();
    let serving = tokio::spawn(admin.serve(shutdown.clone()));

    assert_eq!(http(address, "GET", "/livez", "").await, (200, "ok\n".to_owned()));
    database.down("connection refused");
    let (code, body) = http(address, "GET", "/readyz", "").await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((code, &body["serving"]), (503, &Value::Bool(false)));
    assert_eq!(body["services"]["sip-database"]["latches"]["database"]["reason"], "connection refused");

    database.up();
    cache.down("redis is away");
    let (code, body) = http(address, "GET", "/readyz", "").await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(code, 200, "{body}");
    assert_eq!(body["services"]["sip-database"]["latches"]["cache"]["up"], false);

    readiness.begin_draining();
    assert_eq!(http(address, "GET", "/readyz", "").await.0, 503);
    shutdown.cancel();
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn calls_are_counted_by_method_and_code() {
    let system = System::new();
    let server = system.serve(TestService::echo(), ServerConfig::default()).await;
    system.client(server.address).ask("count me").await.unwrap();
    let admin = Admin::bind(([127, 0, 0, 1], 0).into(), vec![server.readiness.clone()]).await.unwrap();
    let address = admin.address();
    tokio::spawn(admin.serve(CancellationToken::new()));
    let (code, metrics) = http(address, "GET", "/metrics", "").await;
    assert_eq!(code, 200);
    let labels =
        r#"{system="alpha.example",listener="internal",method="mcx.test.v1.TestService/Ask",code="OK"}"#;
    for metric in ["mcx_grpc_requests_total", "mcx_grpc_request_duration_seconds_count"] {
        assert!(metrics.contains(&format!("{metric}{labels}")), "{metrics}");
    }
}

#[tokio::test]
async fn what_alerts_wait_for_is_measured_before_it_happens() {
    let system = System::new();
    let server = system.serve(TestService::echo(), ServerConfig::default()).await;
    let readiness = Readiness::new("group-management");
    let database = readiness.latch("database", Weight::Required);
    let cache = readiness.latch("cache", Weight::Degrading);
    let admin = Admin::bind(([127, 0, 0, 1], 0).into(), vec![server.readiness.clone()]).await.unwrap();
    let address = admin.address();
    tokio::spawn(admin.serve(CancellationToken::new()));
    database.up();
    cache.down("redis is away");
    let (_, metrics) = http(address, "GET", "/metrics", "").await;
    for line in [
        r#"mcx_grpc_panics_total{system="alpha.example",listener="internal"} 0"#,
        r#"mcx_readiness_latch_up{service="group-management",latch="database",weight="required"} 1"#,
        r#"mcx_readiness_latch_up{service="group-management",latch="cache",weight="degrading"} 0"#,
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
}

#[tokio::test]
async fn the_log_level_is_shown_and_changed() {
    let provider = SdkTracerProvider::builder().build();
    let (_dispatch, telemetry) =
        Telemetry::with_provider(&TelemetryConfig::default(), provider, std::io::sink, false).unwrap();
    let admin =
        Admin::bind(([127, 0, 0, 1], 0).into(), vec![]).await.unwrap().log_level(telemetry.log_level());
    let address = admin.address();
    tokio::spawn(admin.serve(CancellationToken::new()));
    assert_eq!(http(address, "GET", "/loglevel", "").await, (200, "info\n".to_owned()));
    assert_eq!(http(address, "PUT", "/loglevel", "info,mcx_runtime=debug").await.0, 204);
    assert!(http(address, "GET", "/loglevel", "").await.1.contains("mcx_runtime=debug"));
    assert_eq!(http(address, "PUT", "/loglevel", "mcx=[").await.0, 400);
}

#[tokio::test]
async fn an_address_in_use_is_named_in_the_error() {
    let taken = Admin::bind(([127, 0, 0, 1], 0).into(), vec![]).await.unwrap();
    let error = Admin::bind(taken.address(), vec![]).await.unwrap_err();
    assert!(error.to_string().contains(&taken.address().to_string()), "{error}");
}
