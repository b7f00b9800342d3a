//! `crossband serve` and `crossband migrate`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result};
use clap::Args;
use crossband::config::{CrossbandConfig, DEFAULT_FILE};
use crossband::system::{self, System};
use mcx_runtime::config::Loader;
use mcx_runtime::shutdown::Shutdown;
use mcx_runtime::telemetry::Telemetry;
use mcx_types::Entity;

#[derive(Debug, Args)]
pub(super) struct ServeArguments {
    #[command(flatten)]
    chosen: Chosen,
}

#[derive(Debug, Args)]
pub(super) struct MigrateArguments {
    #[command(flatten)]
    chosen: Chosen,
}

#[derive(Debug, Args)]
struct Chosen {
    /// The entities: migration-management, sip-database, sip-core, or all.
    #[arg(required = true, value_name = "ENTITY")]
    entities: Vec<EntityArgument>,
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = DEFAULT_FILE)]
    config: PathBuf,
}

#[derive(Debug, Clone)]
enum EntityArgument {
    One(Entity),
    All,
}

impl FromStr for EntityArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "all" {
            return Ok(Self::All);
        }
        text.parse().map(Self::One).map_err(|_| "no such entity".to_owned())
    }
}

impl Chosen {
    fn entities(&self) -> BTreeSet<Entity> {
        self.entities
            .iter()
            .flat_map(|argument| match argument {
                EntityArgument::One(entity) => vec![*entity],
                EntityArgument::All => Entity::ALL.to_vec(),
            })
            .collect()
    }
}

/// The configuration of a file and of the environment. A file that was named must be there; the default one may be missing.
pub(super) fn load(path: &Path) -> Result<CrossbandConfig> {
    let loader = Loader::new();
    let loader =
        if path.as_os_str() == DEFAULT_FILE { loader.optional_file(path) } else { loader.file(path) };
    Ok(loader.environment().load()?)
}

pub(super) async fn serve(arguments: ServeArguments) -> Result<bool> {
    let config = load(&arguments.chosen.config)?;
    let entities = arguments.chosen.entities();
    let id = config.mc_system_id.clone().context("mc_system_id is required")?;
    let name = entities.iter().map(ToString::to_string).collect::<Vec<_>>().join("+");
    let telemetry = Telemetry::install(&config.telemetry, &crossband::origin(&name, &id))?;
    let shutdown = Shutdown::on_signals()?;
    let system = System::start(config, &entities, Some(telemetry.log_level()), shutdown).await?;
    Ok(system.run_until_shutdown().await)
}

pub(super) async fn migrate(arguments: MigrateArguments) -> Result<bool> {
    let config = load(&arguments.chosen.config)?;
    system::migrate(&config, &arguments.chosen.entities()).await?;
    Ok(true)
}
