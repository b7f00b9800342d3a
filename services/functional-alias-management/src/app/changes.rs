//! What a use case leaves to be told to connected clients: written in its transaction, announced after the commit.
//!
//! A change of a functional alias is one row under `alias/<functional alias>`. That a user may activate it, or no longer, is a row under
//! `user/<mc service id>`; for visitors one under `visitors`.

use mcx_proto::functionalalias::v1 as proto;
use mcx_proto::functionalalias::v1::watch_functional_aliases_response::Event;
use mcx_store::changes::{self, NewChange};
use mcx_types::{FunctionalAlias, McServiceId, Timestamp};
use prost::Message;

use super::App;
use super::mutation::Mutation;
use crate::error::Error;
use crate::store::aliases::StoredAlias;
use crate::wire;

/// The topic of what visitors may activate.
pub(crate) const VISITORS: &str = "visitors";

/// The topic of a functional alias.
pub(crate) fn alias_topic(alias: &str) -> String {
    format!("alias/{alias}")
}

/// The topic of what a user may activate.
pub(crate) fn user_topic(id: &McServiceId) -> String {
    format!("user/{id}")
}

/// Changes in the order in which they were made.
#[derive(Debug)]
pub(crate) struct Changes {
    now: Timestamp,
    list: Vec<NewChange>,
}

impl Changes {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self { now, list: Vec::new() }
    }

    /// What is said of it is new.
    pub(crate) fn changed(&mut self, stored: &StoredAlias) {
        let event = Event::FunctionalAlias(wire::encode(stored));
        self.push(alias_topic(stored.alias.as_str()), &stored.alias, stored.revision, event);
    }

    /// These users may activate it.
    pub(crate) fn granted<'a>(
        &mut self,
        alias: &FunctionalAlias,
        users: impl IntoIterator<Item = &'a McServiceId>,
    ) {
        for user in users {
            self.granted_to(user_topic(user), alias);
        }
    }

    /// Visitors may activate it.
    pub(crate) fn granted_to_visitors(&mut self, alias: &FunctionalAlias) {
        self.granted_to(VISITORS.to_owned(), alias);
    }

    /// These users may no longer activate it.
    pub(crate) fn taken<'a>(
        &mut self,
        alias: &FunctionalAlias,
        users: impl IntoIterator<Item = &'a McServiceId>,
    ) {
        for user in users {
            self.taken_from(user_topic(user), alias);
        }
    }

    /// Visitors may no longer activate it.
    pub(crate) fn taken_from_visitors(&mut self, alias: &FunctionalAlias) {
        self.taken_from(VISITORS.to_owned(), alias);
    }

    fn granted_to(&mut self, topic: String, alias: &FunctionalAlias) {
        let event = Event::FunctionalAlias(proto::FunctionalAlias::default());
        self.push(topic, alias, self.now.as_micros(), event);
    }

    fn taken_from(&mut self, topic: String, alias: &FunctionalAlias) {
        let event = Event::RemovedFunctionalAlias(alias.to_string());
        self.push(topic, alias, self.now.as_micros(), event);
    }

    fn push(&mut self, topic: String, alias: &FunctionalAlias, version: i64, event: Event) {
        let told = proto::WatchFunctionalAliasesResponse { event: Some(event), ..Default::default() };
        let payload = told.encode_to_vec().into();
        self.list.push(NewChange { topic, document: alias.to_string(), version, payload });
    }
}

impl App {
    /// Makes what was done durable together with what is to be told of it, and then has it told.
    pub(crate) async fn commit(
        &self,
        mut mutation: Mutation,
        changes: Changes,
        response: &impl Message,
    ) -> Result<(), Error> {
        if changes.list.is_empty() {
            return mutation.commit(response).await;
        }
        let transaction = &mut mutation.transaction;
        let last = changes::append(transaction, &changes.list, changes.now.as_micros()).await?;
        mutation.commit(response).await?;
        self.feed.announce(last);
        Ok(())
    }
}
