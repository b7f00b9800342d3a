//! Two federated MC systems, `alpha.example` (primary) and `bravo.example` (partner), and the UEs of their users.

use std::time::Duration;

use crossband::config::CrossbandConfig;
use crossband::dev::{DemoSubscriber, DevOptions, DevSystem, Federation, PortPlan, StoreUrls, as_it_is};
use crossband::phone::Phone;
use mcx_aka::digest::DigestAlgorithm;
use mcx_proto::migration::v1 as proto;
use mcx_proto::migration::v1::get_binding_request::Binding as BindingKey;
use mcx_testkit::{PostgresServer, RedisServer};
use mcx_types::SipIdentities;
use mcx_ue::{SignallingError, SignallingRegistration};
use sip_database::client::NewSubscriber;
use tempfile::TempDir;
use uuid::Uuid;

/// Where the two systems keep things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stores {
    /// SQLite files and a cache in the process.
    Embedded,
    /// A Postgres database for each system, and one Redis.
    PostgresAndRedis,
}

/// Two systems that serve, with the demo users provisioned.
pub struct World {
    /// The systems.
    pub federation: Federation,
    /// What they were started with, to start one of them again.
    pub options: DevOptions,
    _folder: TempDir,
    _redis: Option<RedisServer>,
}

impl World {
    /// Starts both systems on stores that nobody else uses.
    pub async fn start(stores: Stores) -> Self {
        let redis = (stores == Stores::PostgresAndRedis).then(RedisServer::private);
        let urls = match &redis {
            None => StoreUrls::default(),
            Some(redis) => {
                let server = PostgresServer::shared();
                StoreUrls {
                    databases: Some([server.create_database(), server.create_database()]),
                    cache: Some(redis.url().to_owned()),
                }
            }
        };
        Self { _redis: redis, ..Self::start_on(urls).await }
    }

    /// Starts both systems on these stores.
    pub async fn start_on(stores: StoreUrls) -> Self {
        Self::start_with(stores, &["alice", "bob", "chloe"], as_it_is).await
    }

    /// Starts both systems where alice is let in as TS 23.280 10.17.5 has it, with everything in place.
    pub async fn start_for_migration() -> Self {
        Self::start_for_migration_adjusted(as_it_is).await
    }

    /// The same, where the configuration of both systems is changed so.
    pub async fn start_for_migration_adjusted(adjust: fn(&mut CrossbandConfig)) -> Self {
        let mut world = Self::start_with(StoreUrls::default(), &["bob", "chloe"], adjust).await;
        world.federation.let_all_migrate().await.expect("alice may migrate");
        world
    }

    async fn start_with(
        stores: StoreUrls,
        provisioned_by_hand: &'static [&'static str],
        adjust: fn(&mut CrossbandConfig),
    ) -> Self {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let options = DevOptions {
            data_directory: folder.path().to_owned(),
            ports: PortPlan::Free,
            stores,
            provisioned_by_hand,
            adjust,
        };
        let federation = Federation::start(&options, None).await.expect("both systems start");
        Self { federation, options, _folder: folder, _redis: None }
    }

    /// The primary.
    pub fn alpha(&self) -> &DevSystem {
        &self.federation.primary
    }

    /// The partner.
    pub fn bravo(&self) -> &DevSystem {
        &self.federation.partner
    }

    /// A demo user.
    pub fn user(&self, name: &str) -> &DemoSubscriber {
        self.federation.subscriber(name).expect("the demo user exists")
    }

    /// A new UE of a demo user in front of the partner's SIP core, over UDP.
    pub fn phone(&self, name: &str) -> Phone {
        let registrar = self.bravo().system.addresses.sip_udp.expect("the SIP core listens on UDP");
        Phone::of(self.user(name), registrar)
    }

    /// Registers a demo user from a new UE.
    pub async fn register(&self, name: &str) -> Result<SignallingRegistration, SignallingError> {
        register(self.phone(name)).await
    }

    /// Registers a demo user in her primary system, from a new UE.
    pub async fn register_at_home(&self, name: &str) -> Result<SignallingRegistration, SignallingError> {
        let SipIdentities { impi, impus } = self.user(name).identities.clone();
        let registrar = self.alpha().system.addresses.sip_udp.expect("the SIP core listens on UDP");
        register(Phone { impi, impu: impus[0].clone(), registrar, ..self.phone(name) }).await
    }

    /// Makes a user of the primary whom another scheme authenticates, with the keys of `like`, and lets her migrate.
    pub async fn add_user(&mut self, name: &str, like: &str, scheme: DigestAlgorithm) {
        let like = self.user(like).clone();
        let rename = |identities: &SipIdentities| {
            let text = |identity: &str| identity.replace(&like.name, name);
            SipIdentities {
                impi: text(identities.impi.as_str()).parse().expect("a valid impi"),
                impus: vec![text(identities.impus[0].as_str()).parse().expect("a valid impu")],
            }
        };
        let mut user =
            DemoSubscriber { name: name.to_owned(), identities: rename(&like.identities), ..like.clone() };
        user.partner.identities = rename(&like.partner.identities);
        let subscriber = NewSubscriber {
            scheme,
            amf: user.amf,
            ..NewSubscriber::new(user.identities.clone(), user.key.clone(), user.opc.clone())
        };
        let operator = &self.alpha().operator;
        operator.subscribers.create(&subscriber, Uuid::new_v4()).await.expect("the subscriber is created");
        let permit = proto::MigrationPermit {
            primary_impi: user.identities.impi.to_string(),
            partner_mc_system_id: self.bravo().system.id.to_string(),
            partner_identities: Some(user.partner.identities.clone().into()),
            ..Default::default()
        };
        let request = proto::CreatePermitRequest { permit: Some(permit), ..Default::default() };
        operator.permits.clone().create_permit(request).await.expect("the permit is created");
        let binding = proto::Binding {
            partner_identities: Some(user.partner.identities.clone().into()),
            primary_identities: Some(user.identities.clone().into()),
            primary_mc_system_id: self.alpha().system.id.to_string(),
            ..Default::default()
        };
        let request = proto::CreateBindingRequest { binding: Some(binding), ..Default::default() };
        let mut bindings = self.bravo().operator.bindings.clone();
        bindings.create_binding(request).await.expect("the binding is created");
        self.federation.subscribers.push(user);
    }

    /// Has the partner's operator change the binding of a demo user.
    pub async fn change_binding(&self, name: &str, change: impl FnOnce(&mut proto::Binding)) {
        let mut client = self.bravo().operator.bindings.clone();
        let key = BindingKey::PartnerImpi(self.user(name).partner.identities.impi.to_string());
        let answer = client.get_binding(proto::GetBindingRequest { binding: Some(key) }).await;
        let mut binding = answer.expect("the binding is read").into_inner().binding.expect("it is there");
        change(&mut binding);
        let request = proto::UpdateBindingRequest { binding: Some(binding), ..Default::default() };
        client.update_binding(request).await.expect("the binding is changed");
    }

    /// Has the primary's operator change the permit of a demo user; `None` takes it away.
    pub async fn change_permit(
        &self,
        name: &str,
        change: impl FnOnce(proto::MigrationPermit) -> Option<proto::MigrationPermit>,
    ) {
        let mut client = self.alpha().operator.permits.clone();
        let primary_impi = self.user(name).identities.impi.to_string();
        let request = proto::ListPermitsRequest { primary_impi, ..Default::default() };
        let page = client.list_permits(request).await.expect("the permits are read").into_inner();
        let permit = page.permits.into_iter().next().expect("the user has a permit");
        let permit_id = permit.permit_id.clone();
        match change(permit) {
            Some(permit) => {
                let request = proto::UpdatePermitRequest { permit: Some(permit), ..Default::default() };
                client.update_permit(request).await.expect("the permit is changed");
            }
            None => {
                let request = proto::DeletePermitRequest { permit_id, ..Default::default() };
                client.delete_permit(request).await.expect("the permit is removed");
            }
        }
    }

    /// Has the primary's operator change its agreement with the partner.
    pub async fn change_agreement_of_primary(&self, change: impl FnOnce(&mut proto::Agreement)) {
        change_agreement(self.alpha(), self.bravo(), change).await;
    }

    /// Has the partner's operator change its agreement with the primary.
    pub async fn change_agreement_of_partner(&self, change: impl FnOnce(&mut proto::Agreement)) {
        change_agreement(self.bravo(), self.alpha(), change).await;
    }
}

async fn change_agreement(own: &DevSystem, other: &DevSystem, change: impl FnOnce(&mut proto::Agreement)) {
    let mut client = own.operator.agreements.clone();
    let request = proto::GetAgreementRequest { partner_mc_system_id: other.system.id.to_string() };
    let answer = client.get_agreement(request).await.expect("the agreement is read").into_inner();
    let mut agreement = answer.agreement.expect("it is there");
    change(&mut agreement);
    let request = proto::UpdateAgreementRequest { agreement: Some(agreement), ..Default::default() };
    client.update_agreement(request).await.expect("the agreement is changed");
}

/// Switches a UE on and registers it.
pub async fn register(phone: Phone) -> Result<SignallingRegistration, SignallingError> {
    phone.connect().await?.register().await
}

/// The status code that a registration ended with, and what `Retry-After` said.
///
/// # Panics
/// Where it did not end with an answer of the SIP core.
pub fn sip_answer(outcome: &Result<SignallingRegistration, SignallingError>) -> (u16, Option<Duration>) {
    match outcome {
        Ok(_) => (200, None),
        Err(SignallingError::Forbidden) => (403, None),
        Err(SignallingError::ServerUnavailable { status, retry_after }) => (*status, *retry_after),
        Err(SignallingError::Rejected { status, .. }) => (*status, None),
        Err(other) => panic!("no answer of the SIP core: {other}"),
    }
}

/// A moment so many hours from now; negative: ago.
pub fn in_hours(hours: i64) -> Option<prost_types::Timestamp> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is after 1970");
    let seconds = i64::try_from(now.as_secs()).expect("seconds since 1970 are few") + hours * 3_600;
    Some(prost_types::Timestamp { seconds, nanos: 0 })
}
