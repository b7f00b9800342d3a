//! `crossband ue migrate|return|status|watch`: the whole MC service UE of a user of a ready file. What it knows is in a state file, so that one
//! command goes on where another ended.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Args;
use crossband::ready_file::ReadyFile;
use crossband::terminal;
use mcx_types::{McService, McSystemId};
use mcx_ue::documents::{DocumentChange, DocumentKey};
use mcx_ue::selection::{Plmn, Position, Selection, Surroundings};
use mcx_ue::servers::ServiceStatusEvent;
use mcx_ue::state::UeState;
use mcx_ue::ue::{McServiceUe, News, StepOutcome};

use super::say;

#[derive(Debug, Args)]
pub(in crate::cli) struct TerminalArguments {
    /// The name of the user in the ready file.
    #[arg(long, value_name = "NAME")]
    user: String,
    /// The ready file that `crossband dev` wrote.
    #[arg(long, value_name = "FILE")]
    ready_file: PathBuf,
    /// Where the UE keeps its tokens, documents and state; a file that is not there makes a factory-new UE.
    #[arg(long, value_name = "FILE")]
    state: PathBuf,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct MigrateArguments {
    #[command(flatten)]
    terminal: TerminalArguments,
    /// The partner MC system; without it the serving PLMN and the position decide, or there must be one only.
    #[arg(long, value_name = "MC-SYSTEM-ID", conflicts_with_all = ["serving_plmn", "position"])]
    partner: Option<McSystemId>,
    /// The PLMN that serves the UE, such as 00102.
    #[arg(long, value_name = "PLMN")]
    serving_plmn: Option<Plmn>,
    /// Where the UE is, in degrees (WGS 84), such as 48.2,16.37.
    #[arg(long, value_name = "LATITUDE,LONGITUDE", allow_hyphen_values = true)]
    position: Option<Position>,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct WatchArguments {
    #[command(flatten)]
    terminal: TerminalArguments,
    /// End after so many news; without it, watch until interrupted.
    #[arg(long, value_name = "COUNT")]
    count: Option<usize>,
}

pub(super) async fn migrate(arguments: MigrateArguments) -> Result<bool> {
    let mut ue = switched_on(&arguments.terminal).await?;
    ue.start_unless_away().await?;
    let surroundings = Surroundings { serving_plmn: arguments.serving_plmn, position: arguments.position };
    let partner = match arguments.partner {
        Some(partner) => partner,
        None if surroundings != Surroundings::default() => chosen(&ue.0, &surroundings)?,
        None => match ue.0.partner() {
            Some(selected) => selected,
            None => only_partner(&ue.0)?,
        },
    };
    ue.0.migrate(&partner, None).await?;
    say(&status_text(&ue.0));
    Ok(true)
}

pub(super) async fn return_home(arguments: TerminalArguments) -> Result<bool> {
    let mut ue = switched_on(&arguments).await?;
    ue.0.return_home().await?;
    say(&status_text(&ue.0));
    Ok(true)
}

pub(super) async fn status(arguments: TerminalArguments) -> Result<bool> {
    let ready = ReadyFile::read(&arguments.ready_file)?;
    let user = ready.subscriber(&arguments.user)?;
    let settings = terminal::ready_settings(&ready, user, Some(arguments.state))?;
    say(&status_text(&McServiceUe::switch_on(settings)?));
    Ok(true)
}

pub(super) async fn watch(arguments: WatchArguments) -> Result<bool> {
    let mut ue = switched_on(&arguments.terminal).await?;
    ue.start_unless_away().await?;
    let mut watch = ue.0.watch()?;
    let mut count = 0;
    while arguments.count.is_none_or(|limit| count < limit) {
        tokio::select! {
            news = watch.next() => say(&format!("{}\n", told(&news?))),
            _ = tokio::signal::ctrl_c() => break,
        }
        count += 1;
    }
    Ok(true)
}

/// A UE that can log in.
struct Terminal(McServiceUe);

impl Terminal {
    /// Does what is missing for service at home, unless its user is on the way or away.
    async fn start_unless_away(&mut self) -> Result<()> {
        if self.0.partner().is_none() || self.0.state() == UeState::Returning {
            self.0.start().await?;
        }
        Ok(())
    }
}

/// The UE as its state file has it; a factory-new one is enrolled by the operator of the ready file first.
async fn switched_on(arguments: &TerminalArguments) -> Result<Terminal> {
    let ready = ReadyFile::read(&arguments.ready_file)?;
    let user = ready.subscriber(&arguments.user)?;
    let state = Some(arguments.state.clone());
    let mut ue = McServiceUe::switch_on(terminal::ready_settings(&ready, user, state)?)?;
    ue.observe(std::sync::Arc::new(|event| match event.outcome {
        StepOutcome::Started => {}
        StepOutcome::Done => say(&format!("{:<27} {}\n", event.step.clause(), event.step)),
        StepOutcome::Failed(error) | StepOutcome::GivenUp(error) => {
            say(&format!("{:<27} {}: {error}\n", event.step.clause(), event.step));
        }
    }));
    let credentials = terminal::ready_credentials(user)?;
    if ue.state() == UeState::FactoryNew {
        ue.bootstrap(terminal::ready_enrolment(&ready, user).await?).await?;
        ue.authenticate(credentials).await?;
    } else {
        ue.remember_credentials(credentials);
    }
    Ok(Terminal(ue))
}

/// The partner that the rules in the user profile choose (NOTE 1 of TS 23.280 10.1.1.2).
fn chosen(ue: &McServiceUe, surroundings: &Surroundings) -> Result<McSystemId> {
    match ue.choose(surroundings) {
        Selection::Partner(partner, _) => Ok(partner),
        Selection::None => bail!("no rule of the user profile names a partner for where the UE is"),
        Selection::Ambiguous(partners) => {
            let partners: Vec<String> = partners.iter().map(McSystemId::to_string).collect();
            bail!(
                "where the UE is speaks for several partners, {}: name one with --partner",
                partners.join(" and ")
            )
        }
    }
}

fn only_partner(ue: &McServiceUe) -> Result<McSystemId> {
    match ue.partners().as_slice() {
        [only] => Ok(only.partner.clone()),
        [] => bail!("no user profile names a partner to which she may migrate"),
        _ => bail!("there are several partners: name one with --partner"),
    }
}

fn status_text(ue: &McServiceUe) -> String {
    let system = |id: Option<McSystemId>| id.map_or_else(|| "-".to_owned(), |id| id.to_string());
    let mut text = format!("state    {}\n", ue.state());
    text.push_str(&format!("primary  {}\n", system(ue.primary().cloned())));
    text.push_str(&format!("partner  {}\n", system(ue.partner())));
    for service in McService::ALL {
        if let Some(serving) = ue.serving_system(service) {
            text.push_str(&format!("{:<8} served by {serving}\n", service.as_str()));
        }
    }
    text
}

fn told(news: &News) -> String {
    match news {
        News::Document { change: DocumentChange::Put(document), .. } => match document.key() {
            Some(key) => format!("{} changed", named(&key)),
            None => "a document without a name changed".to_owned(),
        },
        News::Document { change: DocumentChange::Removed(key), .. } => format!("{} removed", named(key)),
        News::Status(ServiceStatusEvent::Ended(ended)) => {
            format!("service ended: {}", ended.reason().as_str_name())
        }
        News::Status(other) => format!("status: {other:?}"),
        News::FoundEnded(service) => format!("{service}: not authorized any more"),
        News::RefreshFailed(error) => format!("refresh failed: {error}"),
    }
}

fn named(key: &DocumentKey) -> String {
    match key {
        DocumentKey::UserProfile(service, index) => format!("user profile {} of {service}", index.0),
        DocumentKey::ServiceConfiguration(service) => format!("service configuration of {service}"),
        DocumentKey::UeConfiguration(service) => format!("ue configuration of {service}"),
        DocumentKey::Group(group) => format!("group {group}"),
        DocumentKey::FunctionalAlias(alias) => format!("functional alias {alias}"),
    }
}
