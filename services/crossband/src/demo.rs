//! `crossband demo`: walks alice through TS 23.280 10.1.1.1 and 10.1.1.2 in front of the user, from a factory-new UE to service at the
//! partner and home again, then shows what is refused and what heals.

mod checks;
mod ladder;
mod operation;
mod report;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use mcx_runtime::telemetry::{LogFormat, Telemetry, TelemetryConfig};
use mcx_types::McSystemId;

use mcx_ue::selection::{Selection, Surroundings};
use mcx_ue::ue::{McServiceUe, StepOutcome};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::dev::{DevOptions, Federation, INCIDENT_PLMN, PARTNER, PRIMARY, PortPlan, StoreUrls, as_it_is};
use crate::terminal;
pub use ladder::{FIGURE, Ladder, LadderStep};
pub use report::{Check, Report, UeStep};

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
        adjust: as_it_is,
    };
    let mut report = Report::new(options.json);
    report.title(out, PRIMARY, PARTNER)?;
    let mut federation = Federation::start(&dev, None).await?;
    federation.let_all_migrate().await?;
    report.provisioned(out, federation.subscriber(USER)?.partner.identities.impi.as_str())?;
    if let Some(mut ue) = migrate(&federation, &ladder, &mut report, out).await? {
        operation::at_the_partner(&federation, &mut ue, &mut report, out).await?;
        return_home(&mut ue, &mut report, out).await?;
    }
    checks::run(&federation, &mut report, out).await?;
    report.verdict(out)?;
    federation.stop().await;
    Ok(report.is_success())
}

/// Alice, from a factory-new UE to service at the partner (TS 23.280 10.1.1.1, 10.1.1.2); the eleven steps of 10.1.6.2 in between.
async fn migrate(
    federation: &Federation,
    ladder: &Ladder,
    report: &mut Report,
    out: &mut impl Write,
) -> Result<Option<McServiceUe>> {
    let subscriber = federation.subscriber(USER)?;
    let mut ue = McServiceUe::switch_on(terminal::settings(subscriber, None))?;
    let mut ue_steps = hear_of_steps(&mut ue);
    let enrolment = terminal::enrol(&federation.primary, &terminal::ue_id(USER)).await?;
    let mut figure_steps = ladder.begin();
    ladder.pause();
    let migrating = async {
        ue.bootstrap(enrolment).await?;
        ue.authenticate(terminal::credentials(USER)?).await?;
        ue.start().await?;
        let surroundings = Surroundings { serving_plmn: Some(INCIDENT_PLMN.parse()?), position: None };
        let Selection::Partner(partner, _) = ue.choose(&surroundings) else {
            anyhow::bail!("the serving PLMN {INCIDENT_PLMN} speaks for no partner")
        };
        ladder.resume();
        ue.migrate(&partner, None).await?;
        anyhow::Ok(ue)
    };
    tokio::pin!(migrating);
    let migrated = loop {
        tokio::select! {
            biased;
            Some(step) = figure_steps.recv() => report.step(out, step)?,
            Some(step) = ue_steps.recv() => report.ue_step(out, step)?,
            migrated = &mut migrating => break migrated,
        }
    };
    while let Ok(step) = figure_steps.try_recv() {
        report.step(out, step)?;
    }
    while let Ok(step) = ue_steps.try_recv() {
        report.ue_step(out, step)?;
    }
    ladder.end();
    report.trace_id = checks::trace_of_last_release(federation).await?;
    match migrated {
        Ok(ue) => {
            let impus: Vec<String> =
                subscriber.partner.identities.impus.iter().map(ToString::to_string).collect();
            report.migrated(out, &impus.join(", "), &ue)?;
            Ok(Some(ue))
        }
        Err(error) => {
            report.not_migrated(out, &format!("{error:#}"))?;
            Ok(None)
        }
    }
}

/// Takes alice home again.
async fn return_home(ue: &mut McServiceUe, report: &mut Report, out: &mut impl Write) -> Result<()> {
    let mut steps = hear_of_steps(ue);
    let returned = ue.return_home().await;
    while let Ok(step) = steps.try_recv() {
        report.ue_step(out, step)?;
    }
    report.check(
        out,
        Check {
            name: "return to the primary MC system",
            expected: "served at home".to_owned(),
            observed: match returned {
                Ok(()) if ue.partner().is_none() => "served at home".to_owned(),
                Ok(()) => "still with the partner".to_owned(),
                Err(error) => error.to_string(),
            },
        },
    )?;
    report.check(out, operation::at_home(ue).await?)?;
    Ok(())
}

/// The steps that a UE does from now on.
fn hear_of_steps(ue: &mut McServiceUe) -> UnboundedReceiver<UeStep> {
    let (steps, heard) = unbounded_channel();
    let since = Instant::now();
    ue.observe(Arc::new(move |event| {
        let outcome = match event.outcome {
            StepOutcome::Started => return,
            StepOutcome::Done => None,
            StepOutcome::Failed(error) | StepOutcome::GivenUp(error) => Some(error.to_string()),
        };
        let step = UeStep {
            clause: event.step.clause(),
            name: event.step.to_string(),
            mc_system_id: event.mc_system_id.map(ToString::to_string),
            elapsed: since.elapsed(),
            failure: outcome,
        };
        // Nobody listens any more once the demonstration went on.
        let _ = steps.send(step);
    }));
    heard
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
