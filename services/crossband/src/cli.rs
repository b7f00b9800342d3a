//! The commands, and what they exit with: 0 done, 1 failed, 64 the configuration or the command line is wrong.

mod admin;
mod certs;
mod configuration;
mod dev;
mod healthcheck;
mod key_file;
mod load;
mod provision_demo;
mod rotate_keys;
mod serve;
mod target;
mod ue;

use std::io::{Write, stderr, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use crossband::demo::{self, DemoOptions};
use crossband::dev::PortPlan;
use mcx_runtime::config::{ConfigError, EXIT_CONFIGURATION};

/// Migration of mission-critical users between MC systems, 3GPP TS 23.280.
#[derive(Debug, Parser)]
#[command(name = "crossband", version, about)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves entities of an MC system until it is asked to end.
    Serve(serve::ServeArguments),
    /// Brings the database schemas of entities to what this program needs.
    Migrate(serve::MigrateArguments),
    /// Runs two federated MC systems, alpha.example and bravo.example, with demo users.
    Dev(dev::DevArguments),
    /// Walks alice through the migration of clause 10.1.6.2, then shows what is refused and what heals.
    Demo(DemoArguments),
    /// A UE: registers and deregisters at a SIP core.
    #[command(subcommand)]
    Ue(ue::UeCommand),
    /// UEs that migrate and return again and again, against the systems of a ready file.
    Load(load::LoadArguments),
    /// Puts the demo users into two deployed systems, alpha.example and bravo.example, that are federated.
    ProvisionDemo(provision_demo::ProvisionDemoArguments),
    /// What an operator does with a running MC system.
    Admin(admin::AdminArguments),
    /// Makes a certificate authority and certificates for one MC system.
    Certs(certs::CertsArguments),
    /// The key-encryption keys under which an MC system's secrets are stored.
    #[command(subcommand)]
    KeyFile(key_file::KeyFileCommand),
    /// Puts every stored secret under the active key of the key file, and tells what is under which key.
    RotateKeys(rotate_keys::RotateKeysArguments),
    /// Shows and checks configurations.
    #[command(subcommand)]
    Config(configuration::ConfigCommand),
    /// Asks a running process whether it can do its work; exit status 0 says yes.
    Healthcheck(healthcheck::HealthcheckArguments),
}

#[derive(Debug, Args)]
struct DemoArguments {
    /// Print one JSON document instead of the ladder.
    #[arg(long)]
    json: bool,
    /// Keep the systems' state in this folder; without it a temporary one is used.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Listen on fixed ports from this one on; without it on whichever are free.
    #[arg(long, value_name = "PORT")]
    port_base: Option<u16>,
    /// Send spans to this OTLP endpoint, such as http://localhost:4317.
    #[arg(long, value_name = "URL")]
    otlp_endpoint: Option<String>,
    /// What is logged to standard error.
    #[arg(long, value_name = "DIRECTIVES", default_value = "off")]
    log_level: String,
}

/// Runs a command.
pub(crate) async fn run(arguments: Arguments) -> ExitCode {
    let done = match arguments.command {
        Command::Serve(arguments) => serve::serve(arguments).await,
        Command::Migrate(arguments) => serve::migrate(arguments).await,
        Command::Dev(arguments) => dev::dev(arguments).await,
        Command::Demo(arguments) => run_demo(arguments).await,
        Command::Ue(command) => ue::run(command).await,
        Command::Load(arguments) => load::run(arguments).await,
        Command::ProvisionDemo(arguments) => provision_demo::run(arguments).await,
        Command::Admin(arguments) => admin::run(arguments).await,
        Command::Certs(arguments) => certs::run(&arguments),
        Command::KeyFile(command) => key_file::run(command).await,
        Command::RotateKeys(arguments) => rotate_keys::run(arguments).await,
        Command::Config(command) => configuration::run(&command),
        Command::Healthcheck(arguments) => healthcheck::run(&arguments).await,
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => fail(&error),
    }
}

/// Says on standard error what went wrong, with its causes.
pub(crate) fn fail(error: &anyhow::Error) -> ExitCode {
    // There is nobody left to tell where standard error is closed.
    let _ = writeln!(stderr(), "crossband: {}", told(error));
    match error.downcast_ref::<ConfigError>() {
        Some(_) => ExitCode::from(EXIT_CONFIGURATION),
        None => ExitCode::FAILURE,
    }
}

/// An error with its causes, each told once: some errors have the text of their cause in their own.
fn told(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| {
        if text.is_empty() {
            cause
        } else if text.ends_with(&cause) {
            text
        } else {
            format!("{text}: {cause}")
        }
    })
}

/// Shows what is wrong with the command line, or the help that it asks for.
pub(crate) fn show(refused_or_help: &clap::Error) -> ExitCode {
    // There is nobody left to tell where the output is closed.
    let _ = refused_or_help.print();
    if refused_or_help.use_stderr() { ExitCode::from(EXIT_CONFIGURATION) } else { ExitCode::SUCCESS }
}

/// Writes to standard output; a closed one is no failure of the command.
fn say(text: &str) {
    let _ = write!(stdout(), "{text}");
    let _ = stdout().flush();
}

fn port_plan(base: Option<u16>) -> PortPlan {
    base.map_or(PortPlan::Free, PortPlan::From)
}

async fn run_demo(arguments: DemoArguments) -> Result<bool> {
    let options = DemoOptions {
        data_directory: arguments.data_dir,
        ports: port_plan(arguments.port_base),
        otlp_endpoint: arguments.otlp_endpoint,
        log_level: arguments.log_level,
        json: arguments.json,
    };
    demo::run(options, &mut stdout()).await
}
