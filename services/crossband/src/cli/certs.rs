//! `crossband certs`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use crossband::certificates;
use mcx_types::{Clock, McSystemId, SystemClock};

use super::say;

#[derive(Debug, Args)]
pub(super) struct CertsArguments {
    /// The MC system, such as alpha.example.
    #[arg(long, value_name = "ID")]
    mc_system: McSystemId,
    /// Where the certificates go. What is there and good is left alone; what is about to expire, or has other hosts, is made anew.
    #[arg(long, value_name = "DIR")]
    directory: PathBuf,
    /// A name or address by which listeners are reached, for clients that check it; may be repeated.
    #[arg(long, value_name = "HOST", default_value = "localhost")]
    host: Vec<String>,
}

pub(super) fn run(arguments: &CertsArguments) -> Result<bool> {
    let hosts: Vec<&str> = arguments.host.iter().map(String::as_str).collect();
    let made = certificates::ensure(&arguments.directory, &arguments.mc_system, &hosts, SystemClock.now())?;
    say(&format!(
        "certificates of {} in {}; give partners {}\n",
        arguments.mc_system,
        made.directory.display(),
        made.directory.join("trust-bundle.pem").display()
    ));
    Ok(true)
}
