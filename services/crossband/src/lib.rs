//! Crossband, the program: `serve` runs the entities of an MC system, `dev` two federated systems in one process, `demo` walks a user
//! through TS 23.280 10.1.1, `ue` is the UE on the command line.

pub mod admin;
pub mod certificates;
pub mod config;
pub mod demo;
pub mod dev;
pub mod files;
pub mod load;
pub mod phone;
pub mod ready_file;
pub mod sealed_secrets;
pub mod system;
pub mod terminal;

use mcx_runtime::telemetry::Origin;
use mcx_types::McSystemId;

/// Who the spans and lines of this process are from.
pub fn origin(service_name: &str, mc_system: &McSystemId) -> Origin {
    Origin {
        service_name: service_name.to_owned(),
        instance: format!("{service_name}-{}", std::process::id()),
        mc_system: mc_system.to_string(),
    }
}
