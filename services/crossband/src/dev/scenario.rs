//! The demonstration as operators set it up: who is in it, and what they provision in two MC systems, wherever those run.

use anyhow::{Context, Result};

use super::{DemoSubscriber, PARTNER, PRIMARY, PartnerIdentities, Reach};
use super::{application_plane, demo_subscribers, load_subscribers, provisioning, user_migration};
use crate::ready_file::ReadyFile;

/// The demonstration on two systems.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// `alpha.example`.
    pub primary: Reach,
    /// `bravo.example`.
    pub partner: Reach,
    /// The demo users.
    pub subscribers: Vec<DemoSubscriber>,
    /// The demo users for whom the operators write permit and binding themselves.
    pub provisioned_by_hand: &'static [&'static str],
}

impl Scenario {
    /// The demonstration with its usual users; nothing is provisioned yet.
    ///
    /// # Errors
    /// Never, unless a constant of the demonstration is wrong.
    pub fn new(primary: Reach, partner: Reach, provisioned_by_hand: &'static [&'static str]) -> Result<Self> {
        Ok(Self { primary, partner, subscribers: demo_subscribers()?, provisioned_by_hand })
    }

    /// Provisions what is not there yet, but for the migrations of users.
    ///
    /// # Errors
    /// Where a system refuses or does not answer.
    pub async fn provision(&mut self) -> Result<()> {
        provisioning::provision(self).await.context("cannot provision the demo users")?;
        application_plane::provision(self).await.context("cannot provision the application plane")?;
        self.learn_allotted_identities().await
    }

    /// The demonstration on two deployed systems, with so many further users for a load, all in place. What is there already is left alone.
    ///
    /// # Errors
    /// Where the ready file does not say where both are, they are not federated, or one of them refuses or does not answer.
    pub async fn on_deployed_systems(ready: &ReadyFile, load_users: usize) -> Result<Self> {
        let reach = |id: &str| Reach::deployed(id.parse()?, ready.system(id)?);
        let mut scenario = Self::new(reach(PRIMARY)?, reach(PARTNER)?, &[])?;
        scenario.subscribers.extend(load_subscribers(load_users)?);
        provisioning::subscribers(&scenario).await.context("cannot provision the subscribers")?;
        application_plane::provision(&scenario).await.context("cannot provision the application plane")?;
        scenario.let_all_migrate().await?;
        Ok(scenario)
    }

    /// The names of the users.
    pub(super) fn names(&self) -> Vec<&str> {
        self.subscribers.iter().map(|subscriber| subscriber.name.as_str()).collect()
    }

    /// The demo users whose permits and bindings are written by the operators.
    pub(super) fn by_hand(&self) -> impl Iterator<Item = &DemoSubscriber> {
        self.subscribers
            .iter()
            .filter(|subscriber| self.provisioned_by_hand.contains(&subscriber.name.as_str()))
    }

    /// Lets every user migrate who is not provisioned by hand, and learns who they are at the partner.
    ///
    /// # Errors
    /// Where a system refuses or does not answer.
    pub async fn let_all_migrate(&mut self) -> Result<()> {
        let names: Vec<&str> = self
            .subscribers
            .iter()
            .map(|subscriber| subscriber.name.as_str())
            .filter(|name| !self.provisioned_by_hand.contains(name))
            .collect();
        user_migration::let_migrate(self, &names).await?;
        user_migration::wait_for_current_access_information(self).await?;
        self.learn_allotted_identities().await
    }

    /// Who the users are at the partner whom it has accepted.
    async fn learn_allotted_identities(&mut self) -> Result<()> {
        for (name, identities) in user_migration::allotted(self).await? {
            let realm = identities.impi.realm();
            for subscriber in self.subscribers.iter_mut().filter(|subscriber| subscriber.name == name) {
                subscriber.partner =
                    PartnerIdentities { identities: identities.clone(), realm: realm.clone() };
            }
        }
        Ok(())
    }

    /// The demo user of that name.
    ///
    /// # Errors
    /// Where there is none.
    pub fn subscriber(&self, name: &str) -> Result<&DemoSubscriber> {
        self.subscribers
            .iter()
            .find(|subscriber| subscriber.name == name)
            .with_context(|| format!("no demo user is called {name}"))
    }
}
