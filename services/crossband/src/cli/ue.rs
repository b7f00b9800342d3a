//! `crossband ue`: a UE whose users and systems are those of a ready file.

mod terminal;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use crossband::files::write_secret;
use crossband::phone::Phone;
use crossband::ready_file::ReadyFile;
use mcx_aka::isim::SequenceArray;
use mcx_aka::{Opc, SubscriberKey};
use mcx_ue::{SignallingRegistration, SignallingTransport, SignallingUserAgent};

use super::say;

#[derive(Debug, Subcommand)]
pub(super) enum UeCommand {
    /// Registers a user, in the partner MC system unless told otherwise.
    Register(UeArguments),
    /// Removes all contacts of a user.
    Deregister(UeArguments),
    /// Takes a user to a partner MC system: every step from a factory-new UE to service there, as far as it is not done yet.
    Migrate(terminal::MigrateArguments),
    /// Takes a user home from a partner MC system.
    Return(terminal::TerminalArguments),
    /// Shows where a UE is; nothing is sent.
    Status(terminal::TerminalArguments),
    /// Shows the on-line updates that reach a UE, until interrupted.
    Watch(terminal::WatchArguments),
}

#[derive(Debug, Args)]
pub(super) struct UeArguments {
    /// The name of the user in the ready file.
    #[arg(long, value_name = "NAME")]
    user: String,
    /// The ready file that `crossband dev` wrote.
    #[arg(long, value_name = "FILE")]
    ready_file: PathBuf,
    /// Register at home, in the primary MC system.
    #[arg(long)]
    home: bool,
    /// UDP or TCP.
    #[arg(long, value_enum, default_value = "udp")]
    transport: Transport,
    /// Where the ISIM remembers its sequence numbers; without it, it is factory-new each time.
    #[arg(long, value_name = "FILE")]
    isim_state: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Transport {
    Udp,
    Tcp,
}

pub(super) async fn run(command: UeCommand) -> Result<bool> {
    let (arguments, is_registration) = match command {
        UeCommand::Register(arguments) => (arguments, true),
        UeCommand::Deregister(arguments) => (arguments, false),
        UeCommand::Migrate(arguments) => return terminal::migrate(arguments).await,
        UeCommand::Return(arguments) => return terminal::return_home(arguments).await,
        UeCommand::Status(arguments) => return terminal::status(arguments).await,
        UeCommand::Watch(arguments) => return terminal::watch(arguments).await,
    };
    let mut user_agent = user_agent(&arguments).await?;
    let registration =
        if is_registration { user_agent.register().await? } else { user_agent.deregister_all().await? };
    say(&describe(&registration));
    Ok(true)
}

async fn user_agent(arguments: &UeArguments) -> Result<SignallingUserAgent> {
    let ready = ReadyFile::read(&arguments.ready_file)?;
    let user = ready.subscriber(&arguments.user)?;
    let (system, impi, impus) = if arguments.home {
        (&user.primary_system, &user.impi, &user.impus)
    } else {
        (&user.partner.system, &user.partner.impi, &user.partner.impus)
    };
    let system = ready.system(system)?;
    let (registrar, transport) = match arguments.transport {
        Transport::Udp => (system.sip_udp, SignallingTransport::Udp),
        Transport::Tcp => (system.sip_tcp, SignallingTransport::Tcp),
    };
    let registrar = registrar.context("the ready file does not say where its SIP core listens")?;
    let phone = Phone {
        impi: impi.parse()?,
        impu: impus.first().context("the user has a public user identity")?.parse()?,
        key: SubscriberKey::from_hex(&user.k)?,
        opc: Opc::from_hex(&user.opc)?,
        sequences: arguments.isim_state.as_deref().map(remembered).transpose()?.unwrap_or_default(),
        registrar,
        transport,
    };
    let mut user_agent = phone.connect().await?;
    if let Some(path) = arguments.isim_state.clone() {
        user_agent.keep_sequences_with(Box::new(move |sequences| {
            remember(&path, sequences).map_err(std::io::Error::other)
        }));
    }
    Ok(user_agent)
}

fn remembered(path: &Path) -> Result<SequenceArray> {
    if !path.exists() {
        return Ok(SequenceArray::default());
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let values: Vec<u64> = serde_json::from_str(&text)
        .with_context(|| format!("{} is not the state of an isim", path.display()))?;
    Ok(SequenceArray::try_from(values.as_slice())?)
}

fn remember(path: &Path, sequences: &SequenceArray) -> Result<()> {
    write_secret(path, serde_json::to_string(&sequences.to_integers())?.as_bytes())
}

fn describe(registration: &SignallingRegistration) -> String {
    let mut text = String::new();
    for contact in &registration.contacts {
        text.push_str(&format!("{} for {} s\n", contact.uri, contact.expires.as_secs()));
    }
    if registration.contacts.is_empty() {
        text.push_str("no contact is registered\n");
    }
    if registration.resynchronised {
        text.push_str("the sequence number was resynchronised\n");
    }
    text
}
