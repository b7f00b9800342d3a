//! The entities that users are provisioned with, in memory: what was put in place, and a fault at a call of choice.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use mcx_proto::types::v1::{InitialUeConfiguration, ServerAddresses};
use mcx_types::{Entity, Impu, McId, McService, McSystemId};
use migration_management::collaborators::{
    Account, Collaborators, Configuration, EndReason, Groups, Identity, McServices, MigrationTarget, SipCore,
};
use migration_management::domain::user_migration::UserMigration;
use migration_management::{Error, Hop};
use tokio::sync::watch;
use tonic::async_trait;
use uuid::Uuid;

/// Where something is put in place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Place {
    VisitorIdentities,
    VisitorConfiguration,
    VisitorGroups,
    ExchangeTargets,
    MigrationTargets,
    SharedUsers,
}

/// What happens at a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It fails, and nothing is done.
    Fails,
    /// It never ends, and nothing is done.
    HangsBefore,
    /// It never ends, although it is done.
    HangsAfter,
}

/// The entities of one system.
#[derive(Debug)]
pub(crate) struct Entities {
    own: McSystemId,
    placed: Mutex<BTreeMap<Place, BTreeSet<Uuid>>>,
    ended: Mutex<Vec<(Uuid, EndReason)>>,
    deregistered: Mutex<Vec<String>>,
    refused: Mutex<BTreeSet<String>>,
    away: Mutex<BTreeSet<Entity>>,
    fault: Mutex<Option<(usize, Fault)>>,
    calls: watch::Sender<usize>,
    is_hanging: watch::Sender<bool>,
    mc_service_address: Mutex<String>,
    told_addresses: watch::Sender<BTreeMap<Uuid, String>>,
}

impl Entities {
    pub(crate) fn new(own: McSystemId) -> Arc<Self> {
        Arc::new(Self {
            own,
            placed: Mutex::default(),
            ended: Mutex::default(),
            deregistered: Mutex::default(),
            refused: Mutex::default(),
            away: Mutex::default(),
            fault: Mutex::default(),
            calls: watch::Sender::new(0),
            is_hanging: watch::Sender::new(false),
            mc_service_address: Mutex::new("first.example:7444".to_owned()),
            told_addresses: watch::Sender::default(),
        })
    }

    pub(crate) fn collaborators(self: &Arc<Self>) -> Collaborators {
        Collaborators {
            identity: self.clone(),
            configuration: self.clone(),
            groups: self.clone(),
            mc_services: self.clone(),
            sip_core: self.clone(),
        }
    }

    /// How many users are in place where.
    pub(crate) fn in_place(&self) -> BTreeMap<Place, usize> {
        let placed = self.placed.lock().unwrap();
        placed.iter().filter(|(_, ids)| !ids.is_empty()).map(|(place, ids)| (*place, ids.len())).collect()
    }

    /// The migrations that were ended, and why.
    pub(crate) fn ended(&self) -> Vec<(Uuid, EndReason)> {
        self.ended.lock().unwrap().clone()
    }

    /// The public user identities whose registrations were ended.
    pub(crate) fn deregistered(&self) -> Vec<String> {
        let mut deregistered = self.deregistered.lock().unwrap().clone();
        deregistered.sort();
        deregistered
    }

    /// How many calls there were.
    pub(crate) fn calls(&self) -> usize {
        *self.calls.borrow()
    }

    /// The call with this number, from 0, gets the fault, and no other one.
    pub(crate) fn fault_at(&self, call: usize, fault: Fault) {
        *self.fault.lock().unwrap() = Some((call, fault));
    }

    /// No further fault.
    pub(crate) fn heal(&self) {
        *self.fault.lock().unwrap() = None;
        self.is_hanging.send_replace(false);
    }

    /// Completes when a call hangs.
    pub(crate) async fn hanging(&self) {
        self.is_hanging.subscribe().wait_for(|is_hanging| *is_hanging).await.unwrap();
    }

    /// Takes an entity away, or brings it back.
    pub(crate) fn set_away(&self, entity: Entity, is_away: bool) {
        let mut away = self.away.lock().unwrap();
        if is_away {
            away.insert(entity)
        } else {
            away.remove(&entity)
        };
    }

    /// From now on the entities refuse the user with this private user identity.
    pub(crate) fn refuse(&self, impi: &str) {
        self.refused.lock().unwrap().insert(impi.to_owned());
    }

    /// From now on UEs find the MC service server there: the initial UE configuration says so.
    pub(crate) fn move_mc_service_to(&self, address: &str) {
        address.clone_into(&mut self.mc_service_address.lock().unwrap());
    }

    /// Completes when the access information of so many users, and no others, says that their partner's MC service server is there.
    pub(crate) async fn told_address(&self, address: &str, users: usize) {
        let mut told = self.told_addresses.subscribe();
        let are_told =
            |told: &BTreeMap<Uuid, String>| told.len() == users && told.values().all(|told| told == address);
        told.wait_for(are_told).await.unwrap();
    }

    /// Completes after so many further calls.
    pub(crate) async fn further_calls(&self, count: usize) {
        let enough = self.calls.borrow().saturating_add(count);
        self.calls.subscribe().wait_for(|calls| *calls >= enough).await.unwrap();
    }

    fn hop(&self, entity: Entity) -> Hop {
        Hop { mc_system_id: self.own.clone(), entity }
    }

    /// One call: does its work unless a fault keeps it from that.
    async fn call(&self, entity: Entity, work: impl FnOnce()) -> Result<(), Error> {
        let mut call = 0;
        self.calls.send_modify(|calls| call = std::mem::replace(calls, *calls + 1));
        if self.away.lock().unwrap().contains(&entity) {
            return Err(Error::EntityUnreachable { hop: self.hop(entity) });
        }
        let fault = self.fault.lock().unwrap().filter(|(at, _)| *at == call).map(|(_, fault)| fault);
        match fault {
            None => work(),
            Some(Fault::Fails) => return Err(Error::EntityUnreachable { hop: self.hop(entity) }),
            Some(Fault::HangsBefore) => self.hang().await,
            Some(Fault::HangsAfter) => {
                work();
                self.hang().await;
            }
        }
        Ok(())
    }

    async fn hang(&self) {
        self.is_hanging.send_replace(true);
        std::future::pending::<()>().await;
    }

    async fn put(&self, entity: Entity, place: Place, users: &[UserMigration]) -> Result<(), Error> {
        let is_refused = {
            let refused = self.refused.lock().unwrap();
            users.iter().any(|user| refused.contains(user.primary_identities.impi.as_str()))
        };
        if is_refused {
            let peer_reason = "IDENTITY_TAKEN".to_owned();
            return Err(Error::EntityRefused { hop: self.hop(entity), peer_reason });
        }
        let ids = users.iter().map(|user| user.id);
        self.call(entity, || self.placed.lock().unwrap().entry(place).or_default().extend(ids)).await
    }

    async fn delete(&self, entity: Entity, place: Place, ids: &[Uuid]) -> Result<(), Error> {
        let work = || {
            let mut placed = self.placed.lock().unwrap();
            placed.entry(place).or_default().retain(|id| !ids.contains(id));
        };
        self.call(entity, work).await
    }
}

fn users(targets: &[MigrationTarget]) -> Vec<UserMigration> {
    for target in targets {
        let configuration = target.access_information.initial_ue_configuration.as_ref().unwrap();
        assert_eq!(configuration.mc_system_id, target.migration.peer.as_str());
    }
    targets.iter().map(|target| target.migration.clone()).collect()
}

/// Where the access information of a user says that the MC service server is.
fn address(target: &MigrationTarget) -> (Uuid, String) {
    let configuration = target.access_information.initial_ue_configuration.as_ref();
    let servers = configuration.and_then(|configuration| configuration.servers.as_ref());
    (target.migration.id, servers.map(|servers| servers.mc_service.clone()).unwrap_or_default())
}

#[async_trait]
impl Identity for Entities {
    /// Everybody has an account, except who is called nobody.
    async fn resolve_accounts(&self, mc_ids: &[McId]) -> Result<HashMap<McId, Account>, Error> {
        self.call(Entity::IdentityManagement, || ()).await?;
        let known = mc_ids.iter().filter(|mc_id| !mc_id.as_str().starts_with("nobody"));
        let account = |mc_id: &McId| Account {
            subject: format!("subject-of-{mc_id}").parse().unwrap(),
            mc_service_ids: [McService::Ptt, McService::Data]
                .into_iter()
                .map(|service| (service, format!("sip:{mc_id}").parse().unwrap()))
                .collect(),
        };
        Ok(known.map(|mc_id| (mc_id.clone(), account(mc_id))).collect())
    }

    async fn put_visitors(&self, visitors: &[UserMigration]) -> Result<(), Error> {
        for visitor in visitors {
            let issuer = format!("https://idms.{}", visitor.peer);
            assert_eq!(visitor.primary_issuer.as_ref(), Some(&issuer));
        }
        self.put(Entity::IdentityManagement, Place::VisitorIdentities, visitors).await
    }

    async fn delete_visitors(&self, migrations: &[Uuid]) -> Result<(), Error> {
        self.delete(Entity::IdentityManagement, Place::VisitorIdentities, migrations).await
    }

    async fn put_exchange_targets(&self, targets: &[MigrationTarget]) -> Result<(), Error> {
        self.put(Entity::IdentityManagement, Place::ExchangeTargets, &users(targets)).await
    }

    async fn delete_exchange_targets(&self, migrations: &[Uuid]) -> Result<(), Error> {
        self.delete(Entity::IdentityManagement, Place::ExchangeTargets, migrations).await
    }
}

#[async_trait]
impl Configuration for Entities {
    async fn initial_ue_configuration(&self) -> Result<InitialUeConfiguration, Error> {
        self.call(Entity::ConfigurationManagement, || ()).await?;
        let issuer = format!("https://idms.{}", self.own);
        let servers = ServerAddresses {
            identity_management_token_endpoint: format!("{issuer}/token"),
            identity_management_issuer: issuer,
            mc_service: self.mc_service_address.lock().unwrap().clone(),
            ..Default::default()
        };
        Ok(InitialUeConfiguration {
            mc_system_id: self.own.to_string(),
            servers: Some(servers),
            ..Default::default()
        })
    }

    async fn put_migration_targets(&self, targets: &[MigrationTarget]) -> Result<(), Error> {
        let put = self.put(Entity::ConfigurationManagement, Place::MigrationTargets, &users(targets)).await;
        if put.is_ok() {
            self.told_addresses.send_modify(|told| told.extend(targets.iter().map(address)));
        }
        put
    }

    async fn delete_migration_targets(&self, migrations: &[Uuid]) -> Result<(), Error> {
        self.delete(Entity::ConfigurationManagement, Place::MigrationTargets, migrations).await
    }

    async fn put_visitors(&self, visitors: &[UserMigration]) -> Result<(), Error> {
        self.put(Entity::ConfigurationManagement, Place::VisitorConfiguration, visitors).await
    }

    async fn delete_visitors(&self, migrations: &[Uuid]) -> Result<(), Error> {
        self.delete(Entity::ConfigurationManagement, Place::VisitorConfiguration, migrations).await
    }
}

#[async_trait]
impl Groups for Entities {
    async fn put_visitors(&self, visitors: &[UserMigration]) -> Result<(), Error> {
        self.put(Entity::GroupManagement, Place::VisitorGroups, visitors).await
    }

    async fn delete_visitors(&self, migrations: &[Uuid]) -> Result<(), Error> {
        self.delete(Entity::GroupManagement, Place::VisitorGroups, migrations).await
    }

    async fn put_shared_users(&self, users: &[UserMigration]) -> Result<(), Error> {
        self.put(Entity::GroupManagement, Place::SharedUsers, users).await
    }

    async fn delete_shared_users(&self, migrations: &[Uuid]) -> Result<(), Error> {
        self.delete(Entity::GroupManagement, Place::SharedUsers, migrations).await
    }
}

#[async_trait]
impl McServices for Entities {
    async fn end_migrations(&self, migrations: &[Uuid], reason: EndReason) -> Result<(), Error> {
        let ended = migrations.iter().map(|id| (*id, reason));
        self.call(Entity::McService, || self.ended.lock().unwrap().extend(ended)).await
    }
}

#[async_trait]
impl SipCore for Entities {
    async fn deregister(&self, impus: &[Impu]) -> Result<(), Error> {
        let impus = impus.iter().map(ToString::to_string);
        self.call(Entity::SipCore, || self.deregistered.lock().unwrap().extend(impus)).await
    }
}
