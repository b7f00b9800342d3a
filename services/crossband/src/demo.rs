//! `crossband demo`: walks alice through TS 23.280 10.1.6.2 in front of the user, then shows what is refused and what heals.

mod checks;
mod ladder;
mod report;

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};
use mcx_runtime::telemetry::{LogFormat, Telemetry, TelemetryConfig};
use mcx_types::McSystemId;

use crate::dev::{DevOptions, Federation, PARTNER, PRIMARY, PortPlan, StoreUrls};
use crate::phone::Phone;
pub use ladder::{FIGURE, Ladder, LadderStep};
pub use report::{Check, Report};

/// The user that migrates.
const USER: &str = "alice";

/// How the demonstration is run.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// Where the systems keep things; `None`: in a folder that is removed in the end.
    pub data_directory: Option<PathBuf>,
    /// Which ports are listened on.
    pub ports: PortPlan,
    /// Where spans go.
    pub otlp_endpoint: Option<String>,
    /// What is logged.
    pub log_level: String,
    /// Whether the result is printed as one JSON document.
    pub json: bool,
}

/// Runs the demonstration and writes it to `out`; tells whether everything went as expected.
///
/// # Errors
/// Where the systems cannot be started or nothing can be written.
pub async fn run(options: DemoOptions, out: &mut impl Write) -> Result<bool> {
    let ladder = Ladder::new();
    let telemetry_config = TelemetryConfig {
        log_level: options.log_level.clone(),
        log_format: LogFormat::Auto,
        otlp_endpoint: options.otlp_endpoint.clone(),
        ..TelemetryConfig::default()
    };
    let origin = crate::origin("crossband-demo", &PRIMARY.parse::<McSystemId>()?);
    let _telemetry = Telemetry::install_with(&telemetry_config, &origin, Some(Box::new(ladder.layer())))?;

    let temporary = TemporaryFolder::unless_given(options.data_directory)?;
    let dev = DevOptions {
        data_directory: temporary.path.clone(),
        ports: options.ports,
        stores: StoreUrls::default(),
        provisioned_by_hand: &["bob", "chloe"],
    };
    let mut report = Report::new(options.json);
    report.title(out, PRIMARY, PARTNER)?;
    let federation = Federation::start(&dev, None).await?;
    migrate(&federation, &ladder, &mut report, out).await?;
    checks::run(&federation, &mut report, out).await?;
    report.verdict(out)?;
    federation.stop().await;
    Ok(report.is_success())
}

/// The eleven steps.
async fn migrate(
    federation: &Federation,
    ladder: &Ladder,
    report: &mut Report,
    out: &mut impl Write,
) -> Result<()> {
    let user = federation.subscriber(USER)?;
    let registrar = federation.partner.system.addresses.sip_udp.context("the SIP core listens on UDP")?;
    let mut steps = ladder.begin();
    let mut phone = Phone::of(user, registrar).connect().await?;
    let registering = phone.register();
    tokio::pin!(registering);
    let registered = loop {
        tokio::select! {
            biased;
            Some(step) = steps.recv() => report.step(out, step)?,
            registered = &mut registering => break registered,
        }
    };
    while let Ok(step) = steps.try_recv() {
        report.step(out, step)?;
    }
    ladder.end();
    match &registered {
        Ok(registration) => {
            let bound: Vec<String> = registration.associated_impus.iter().map(ToString::to_string).collect();
            report.registered(out, &bound.join(", "), registration.expires)?;
        }
        Err(error) => report.not_registered(out, &error.to_string())?,
    }
    report.trace_id = checks::trace_of_last_release(federation).await?;
    Ok(())
}

/// A folder that is removed in the end, unless the user named one to keep.
struct TemporaryFolder {
    path: PathBuf,
    is_temporary: bool,
}

impl TemporaryFolder {
    fn unless_given(given: Option<PathBuf>) -> Result<Self> {
        if let Some(path) = given {
            return Ok(Self { path, is_temporary: false });
        }
        let path = std::env::temp_dir().join(format!("crossband-demo-{}", uuid::Uuid::new_v4()));
        std::fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self { path, is_temporary: true })
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        if self.is_temporary {
            // Nothing can be done about a folder that does not go; it holds test keys only.
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
