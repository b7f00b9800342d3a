//! The documents that a UE holds of one MC system, kept current by watches: nothing is lost, nothing is told twice.

mod stored;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use mcx_proto::configuration::v1::{ServiceConfiguration, UeConfiguration, UserProfile};
use mcx_proto::functionalalias::v1::FunctionalAlias;
use mcx_proto::group::v1::MemberGroup;
use mcx_types::{McService, McServiceGroupId, ProfileIndex, Violations};
use serde::{Deserialize, Serialize};

pub(crate) use stored::{decoded, encoded};

use crate::servers::{ConfigurationEvent, FunctionalAliasEvent, GroupEvent, Told, Update};

/// What names a document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum DocumentKey {
    /// A user profile.
    UserProfile(McService, ProfileIndex),
    /// The service configuration of an MC service.
    ServiceConfiguration(McService),
    /// The UE configuration for an MC service.
    UeConfiguration(McService),
    /// A group.
    Group(McServiceGroupId),
    /// A functional alias.
    FunctionalAlias(mcx_types::FunctionalAlias),
}

/// A document.
#[derive(Debug, Clone, PartialEq)]
pub enum Document {
    /// A user profile.
    UserProfile(Box<UserProfile>),
    /// The service configuration of an MC service.
    ServiceConfiguration(Box<ServiceConfiguration>),
    /// The UE configuration for an MC service.
    UeConfiguration(Box<UeConfiguration>),
    /// A group, and the user's membership.
    Group(Box<MemberGroup>),
    /// A functional alias that the user may activate.
    FunctionalAlias(Box<FunctionalAlias>),
}

/// Something that is not as it was.
#[derive(Debug, Clone, PartialEq)]
pub enum DocumentChange {
    /// The document is new, or so now.
    Put(Document),
    /// The document is no more.
    Removed(DocumentKey),
}

/// A source of documents, each with a watch of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feed {
    /// Configuration management.
    Configuration,
    /// Group management.
    Groups,
    /// Functional alias management.
    FunctionalAliases,
}

/// The documents of one MC system.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Documents {
    documents: BTreeMap<DocumentKey, Document>,
    resume_tokens: BTreeMap<Feed, String>,
    /// While a feed tells everything: what it has told.
    snapshots: BTreeMap<Feed, BTreeSet<DocumentKey>>,
}

impl Document {
    /// What names it; none where a server names it badly.
    #[must_use]
    pub fn key(&self) -> Option<DocumentKey> {
        let service = |service: i32| Violations::new().mc_service("mc_service", service);
        Some(match self {
            Self::UserProfile(profile) => {
                let index = ProfileIndex::try_from(profile.profile_index).ok()?;
                DocumentKey::UserProfile(service(profile.identity.as_ref()?.mc_service)?, index)
            }
            Self::ServiceConfiguration(configuration) => {
                DocumentKey::ServiceConfiguration(service(configuration.mc_service)?)
            }
            Self::UeConfiguration(configuration) => {
                DocumentKey::UeConfiguration(service(configuration.mc_service)?)
            }
            Self::Group(group) => DocumentKey::Group(group.group.as_ref()?.group_id.parse().ok()?),
            Self::FunctionalAlias(alias) => {
                DocumentKey::FunctionalAlias(alias.functional_alias.parse().ok()?)
            }
        })
    }

    /// Counts the changes of the document, where those are of one and the same. Another UE configuration may come in the place of the
    /// UE's own, with a count of its own.
    fn version(&self) -> Option<u64> {
        match self {
            Self::UserProfile(profile) => Some(profile.version),
            Self::ServiceConfiguration(configuration) => Some(configuration.version),
            Self::UeConfiguration(_) => None,
            Self::Group(group) => group.group.as_ref().map(|group| group.version.unsigned_abs()),
            Self::FunctionalAlias(alias) => Some(alias.version.unsigned_abs()),
        }
    }
}

impl DocumentKey {
    /// Where documents of this kind come from.
    #[must_use]
    pub fn feed(&self) -> Feed {
        match self {
            Self::UserProfile(..) | Self::ServiceConfiguration(_) | Self::UeConfiguration(_) => {
                Feed::Configuration
            }
            Self::Group(_) => Feed::Groups,
            Self::FunctionalAlias(_) => Feed::FunctionalAliases,
        }
    }
}

impl Documents {
    /// Every document, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = &Document> {
        self.documents.values()
    }

    /// The user profiles, by MC service and index.
    pub fn user_profiles(&self) -> impl Iterator<Item = (McService, ProfileIndex, &UserProfile)> {
        self.documents.iter().filter_map(|(key, document)| match (key, document) {
            (DocumentKey::UserProfile(service, index), Document::UserProfile(profile)) => {
                Some((*service, *index, profile.as_ref()))
            }
            _ => None,
        })
    }

    /// The MC services that the user has user profiles for.
    #[must_use]
    pub fn mc_services(&self) -> BTreeSet<McService> {
        self.user_profiles().map(|(service, ..)| service).collect()
    }

    /// The groups, by their IDs.
    pub fn groups(&self) -> impl Iterator<Item = &MemberGroup> {
        self.documents.values().filter_map(|document| match document {
            Document::Group(group) => Some(group.as_ref()),
            _ => None,
        })
    }

    /// The groups that the user profiles name: whose configuration is to be fetched (TS 23.280 10.1.1.2).
    #[must_use]
    pub fn groups_of_profiles(&self) -> BTreeSet<McServiceGroupId> {
        self.user_profiles()
            .flat_map(|(_, _, profile)| &profile.groups)
            .filter_map(|group| group.mc_service_group_id.parse().ok())
            .collect()
    }

    /// Where the watch of a feed is to go on; none: from the beginning.
    #[must_use]
    pub fn resume_token(&self, feed: Feed) -> Option<String> {
        self.resume_tokens.get(&feed).cloned()
    }

    /// Puts what a server was asked for, in the place of all documents of these kinds.
    pub fn replace(&mut self, is_of_kind: impl Fn(&DocumentKey) -> bool, documents: Vec<Document>) {
        self.documents.retain(|key, _| !is_of_kind(key));
        for document in documents {
            match document.key() {
                Some(key) => {
                    self.documents.insert(key, document);
                }
                None => tracing::warn!("a document without a name is left out"),
            }
        }
    }

    /// Takes note of what configuration management tells.
    pub fn apply_configuration(&mut self, update: Update<ConfigurationEvent>) -> Vec<DocumentChange> {
        self.apply(Feed::Configuration, update, |_, event| match event {
            ConfigurationEvent::UserProfile(profile) => Some(Edit::Put(Document::UserProfile(profile))),
            ConfigurationEvent::UserProfileRemoved(service, index) => {
                Some(Edit::Remove(DocumentKey::UserProfile(service, index)))
            }
            ConfigurationEvent::ServiceConfiguration(configuration) => {
                Some(Edit::Put(Document::ServiceConfiguration(configuration)))
            }
            ConfigurationEvent::UeConfiguration(configuration) => {
                Some(Edit::Put(Document::UeConfiguration(configuration)))
            }
            ConfigurationEvent::UeConfigurationRemoved(service) => {
                Some(Edit::Remove(DocumentKey::UeConfiguration(service)))
            }
        })
    }

    /// Takes note of what group management tells.
    pub fn apply_groups(&mut self, update: Update<GroupEvent>) -> Vec<DocumentChange> {
        self.apply(Feed::Groups, update, |documents, event| match event {
            GroupEvent::Group(group) => Some(Edit::Put(Document::Group(group))),
            GroupEvent::Left(group_id) => Some(Edit::Remove(DocumentKey::Group(group_id))),
            GroupEvent::Changed(group) => {
                let key = DocumentKey::Group(group.group_id.parse().ok()?);
                // Of a group that she is no member of there is nothing to know.
                let Some(Document::Group(held)) = documents.get(&key) else { return None };
                let members = held.members.clone();
                Some(Edit::Put(Document::Group(Box::new(MemberGroup { group: Some(*group), members }))))
            }
        })
    }

    /// Takes note of what functional alias management tells.
    pub fn apply_functional_aliases(&mut self, update: Update<FunctionalAliasEvent>) -> Vec<DocumentChange> {
        self.apply(Feed::FunctionalAliases, update, |_, event| match event {
            FunctionalAliasEvent::FunctionalAlias(alias) => Some(Edit::Put(Document::FunctionalAlias(alias))),
            FunctionalAliasEvent::Removed(alias) => Some(Edit::Remove(DocumentKey::FunctionalAlias(alias))),
        })
    }

    fn apply<E>(
        &mut self,
        feed: Feed,
        update: Update<E>,
        edit: impl FnOnce(&BTreeMap<DocumentKey, Document>, E) -> Option<Edit>,
    ) -> Vec<DocumentChange> {
        let changes = match update.told {
            None => Vec::new(),
            Some(Told::SnapshotBegins) => {
                self.snapshots.insert(feed, BTreeSet::new());
                Vec::new()
            }
            Some(Told::Event(event)) => match edit(&self.documents, event) {
                Some(edit) => self.edit(feed, edit).into_iter().collect(),
                None => Vec::new(),
            },
            Some(Told::CaughtUp) => self.end_snapshot(feed),
        };
        match update.resume_token {
            Some(token) => self.resume_tokens.insert(feed, token),
            None => self.resume_tokens.remove(&feed),
        };
        changes
    }

    fn edit(&mut self, feed: Feed, edit: Edit) -> Option<DocumentChange> {
        match edit {
            Edit::Remove(key) => {
                self.documents.remove(&key)?;
                Some(DocumentChange::Removed(key))
            }
            Edit::Put(document) => {
                let key = document.key()?;
                let is_snapshot = match self.snapshots.get_mut(&feed) {
                    Some(told) => {
                        told.insert(key.clone());
                        true
                    }
                    None => false,
                };
                let held = self.documents.get(&key);
                // Told before. In a snapshot an older one is another document that has taken the name.
                let is_older = !is_snapshot && held.is_some_and(|held| document.version() < held.version());
                if is_older || held == Some(&document) {
                    return None;
                }
                self.documents.insert(key, document.clone());
                Some(DocumentChange::Put(document))
            }
        }
    }

    fn end_snapshot(&mut self, feed: Feed) -> Vec<DocumentChange> {
        let Some(told) = self.snapshots.remove(&feed) else { return Vec::new() };
        let gone: Vec<DocumentKey> =
            self.documents.keys().filter(|key| key.feed() == feed && !told.contains(key)).cloned().collect();
        for key in &gone {
            self.documents.remove(key);
        }
        gone.into_iter().map(DocumentChange::Removed).collect()
    }
}

enum Edit {
    Put(Document),
    Remove(DocumentKey),
}
