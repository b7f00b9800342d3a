//! `crossband provision-demo`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use crossband::dev::{REDIRECT_URI, Scenario};
use crossband::files::write_secret;
use crossband::ready_file::ReadyFile;

use super::say;

#[derive(Debug, Args)]
pub(super) struct ProvisionDemoArguments {
    /// Where alpha.example and bravo.example are, for their operators and for UEs.
    #[arg(long, value_name = "FILE")]
    ready_file: PathBuf,
    /// Write the same with the users to this file; `-` is standard output.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// So many further users, for a load.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    load_users: usize,
}

pub(super) async fn run(arguments: ProvisionDemoArguments) -> Result<bool> {
    let ready = ReadyFile::read(&arguments.ready_file)?;
    let scenario = Scenario::on_deployed_systems(&ready, arguments.load_users).await?;
    let subscribers = scenario.subscribers.iter().map(|subscriber| subscriber.to_ready()).collect();
    let document = ReadyFile { subscribers, redirect_uri: REDIRECT_URI.to_owned(), ..ready }.to_text()?;
    if arguments.output.as_os_str() == "-" {
        say(&document);
    } else {
        write_secret(&arguments.output, document.as_bytes())?;
    }
    Ok(true)
}
