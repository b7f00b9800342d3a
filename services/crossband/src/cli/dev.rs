//! `crossband dev`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use crossband::dev::{
    DEFAULT_PORT_BASE, DevOptions, Federation, PRIMARY, PortPlan, StoreUrls, as_it_is, endpoint_table,
    ready_document,
};
use crossband::files::write_secret;
use mcx_runtime::shutdown::Shutdown;
use mcx_runtime::telemetry::{Telemetry, TelemetryConfig};

use super::say;

#[derive(Debug, Args)]
pub(super) struct DevArguments {
    /// Keep state and certificates in this folder; used again at the next start.
    #[arg(long, value_name = "DIR", default_value = ".crossband")]
    data_dir: PathBuf,
    /// The first of the ports that are listened on.
    #[arg(long, value_name = "PORT", default_value_t = DEFAULT_PORT_BASE)]
    port_base: u16,
    /// Write this file once everything serves: where both systems are, and who the demo users are.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
    /// Use Postgres instead of SQLite: the database of alpha.example.
    #[arg(long, value_name = "URL", requires = "bravo_database_url")]
    alpha_database_url: Option<String>,
    /// The database of bravo.example.
    #[arg(long, value_name = "URL", requires = "alpha_database_url")]
    bravo_database_url: Option<String>,
    /// Use Redis instead of a cache in the process.
    #[arg(long, value_name = "URL")]
    cache_url: Option<String>,
    /// Send spans to this OTLP endpoint, such as http://localhost:4317.
    #[arg(long, value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// What is logged to standard error.
    #[arg(long, value_name = "DIRECTIVES", default_value = "warn")]
    log_level: String,
}

pub(super) async fn dev(arguments: DevArguments) -> Result<bool> {
    let shutdown = Shutdown::on_signals()?;
    let telemetry_config = TelemetryConfig {
        log_level: arguments.log_level,
        otlp_endpoint: arguments.otlp_endpoint,
        ..TelemetryConfig::default()
    };
    let telemetry =
        Telemetry::install(&telemetry_config, &crossband::origin("crossband-dev", &PRIMARY.parse()?))?;
    std::fs::create_dir_all(&arguments.data_dir)
        .with_context(|| format!("cannot create {}", arguments.data_dir.display()))?;
    let options = DevOptions {
        data_directory: arguments.data_dir.canonicalize()?,
        ports: PortPlan::From(arguments.port_base),
        stores: StoreUrls {
            databases: arguments.alpha_database_url.zip(arguments.bravo_database_url).map(|(a, b)| [a, b]),
            cache: arguments.cache_url,
        },
        provisioned_by_hand: &["bob", "chloe"],
        adjust: as_it_is,
    };
    let log_level = telemetry.log_level();
    let start = async {
        let mut federation = Federation::start(&options, Some(&log_level)).await?;
        federation.let_all_migrate().await?;
        anyhow::Ok(federation)
    };
    let started = tokio::select! {
        started = start => started?,
        () = shutdown.token().cancelled() => return Ok(true),
    };
    say(&endpoint_table(&started));
    if let Some(path) = &arguments.ready_file {
        // The test keys in it protect nobody, but the habit does.
        write_secret(path, ready_document(&started)?.to_text()?.as_bytes())?;
    }
    shutdown.token().cancelled().await;
    Ok(started.stop().await)
}
