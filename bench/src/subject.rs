//! What is measured: two federated systems on Postgres, with many users, and clients that call as the SIP cores do.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use crossband::config::identity_files;
use crossband::dev::{DevOptions, DevSystem, Federation, PARTNER, PRIMARY, PortPlan, StoreUrls, as_it_is};
use futures::stream;
use mcx_aka::{Opc, SubscriberKey};
use mcx_federation::OwnIdentity;
use mcx_proto::migration::v1 as migration;
use mcx_proto::migration::v1::sip_authentication_service_client::SipAuthenticationServiceClient;
use mcx_proto::sipdatabase::v1 as database;
use mcx_proto::sipdatabase::v1::sip_authentication_service_client::SipAuthenticationServiceClient as DatabaseClient;
use mcx_proto::types::v1::{AuthenticationScheme, SipIdentities};
use mcx_types::{Entity, SpiffeId};
use sip_database::client::NewSubscriber;
use tonic::transport::Channel;

use crate::bare_chain::secured_channel;

/// Two federated systems and their users.
pub(crate) struct Subject {
    pub(crate) federation: Federation,
    pub(crate) users: u64,
}

/// How fast the public rpcs took what was imported, per second.
pub(crate) struct ImportRates {
    pub(crate) subscribers: f64,
    pub(crate) permits: f64,
    pub(crate) bindings: f64,
}

impl Subject {
    /// Starts both systems on the two databases, imports the users, and lifts the limits of the agreement.
    pub(crate) async fn start(
        directory: &Path,
        databases: [String; 2],
        users: u64,
    ) -> Result<(Self, ImportRates)> {
        let options = DevOptions {
            data_directory: directory.to_owned(),
            ports: PortPlan::Free,
            stores: StoreUrls { databases: Some(databases), cache: None },
            provisioned_by_hand: &["alice", "bob", "chloe"],
            adjust: as_it_is,
        };
        let federation = Federation::start(&options, None).await?;
        let subject = Self { federation, users };
        subject.lift_limits().await?;
        let rates = subject.import().await?;
        Ok((subject, rates))
    }

    async fn lift_limits(&self) -> Result<()> {
        let mut agreements = self.federation.primary.operator.agreements.clone();
        let key = migration::GetAgreementRequest { partner_mc_system_id: PARTNER.to_owned() };
        let agreement = agreements.get_agreement(key).await?.into_inner().agreement;
        let agreement = migration::Agreement {
            limits: Some(migration::AgreementLimits {
                requests_per_minute: Some(u32::MAX),
                requests_per_user_per_minute: Some(u32::MAX),
                resynchronisations_per_user_per_hour: None,
                pending_offers: None,
            }),
            ..agreement.context("the systems have an agreement")?
        };
        let request = migration::UpdateAgreementRequest { agreement: Some(agreement), ..Default::default() };
        agreements.update_agreement(request).await?;
        Ok(())
    }

    async fn import(&self) -> Result<ImportRates> {
        let rate = |begun: Instant| self.users as f64 / begun.elapsed().as_secs_f64();
        let (primary, partner) = (&self.federation.primary, &self.federation.partner);

        let subscribers = (0..self.users).map(new_subscriber).collect::<Result<Vec<_>>>()?;
        let begun = Instant::now();
        let outcome = primary.operator.subscribers.import(subscribers).await?;
        ensure!(outcome.created_count == self.users, "subscribers were refused: {:?}", outcome.refusals);
        let subscribers = rate(begun);

        let permits: Vec<_> = (0..self.users).map(permit).collect();
        let begun = Instant::now();
        let outcome =
            primary.operator.permits.clone().import_permits(stream::iter(permits)).await?.into_inner();
        ensure!(outcome.created_count == self.users, "permits were refused: {:?}", outcome.refusals);
        let permits = rate(begun);

        let bindings: Vec<_> = (0..self.users).map(binding).collect();
        let begun = Instant::now();
        let outcome =
            partner.operator.bindings.clone().import_bindings(stream::iter(bindings)).await?.into_inner();
        ensure!(outcome.created_count == self.users, "bindings were refused: {:?}", outcome.refusals);
        Ok(ImportRates { subscribers, permits, bindings: rate(begun) })
    }

    /// The lookup as the partner's SIP core makes it: over both migration management servers to the primary's SIP database.
    pub(crate) fn federated_client(&self) -> Result<SipAuthenticationServiceClient<Channel>> {
        Ok(SipAuthenticationServiceClient::new(as_sip_core(&self.federation.partner)?))
    }

    /// The lookup as the primary's SIP core makes it for an own user.
    pub(crate) fn database_client(&self) -> Result<DatabaseClient<Channel>> {
        Ok(DatabaseClient::new(as_sip_core(&self.federation.primary)?))
    }
}

/// The identity of an entity of a system.
pub(crate) fn identity(system: &DevSystem, entity: Entity) -> Result<OwnIdentity> {
    Ok(OwnIdentity::load(&identity_files(&system.certificates.directory, entity.as_str()))?)
}

fn as_sip_core(system: &DevSystem) -> Result<Channel> {
    let listening_as = SpiffeId::entity(system.system.id.clone(), Entity::MigrationManagement);
    secured_channel(&identity(system, Entity::SipCore)?, listening_as, system.system.addresses.grpc)
}

/// One lookup over both systems, or over the bare chain, of some user.
pub(crate) async fn look_up_federated(
    client: SipAuthenticationServiceClient<Channel>,
    user: u64,
) -> Result<()> {
    look_up(client, partner_identities(user)).await
}

/// One lookup of a visitor.
pub(crate) async fn look_up(
    mut client: SipAuthenticationServiceClient<Channel>,
    visitor: SipIdentities,
) -> Result<()> {
    let request = migration::GetSipAuthenticationInformationRequest {
        partner_identities: Some(visitor),
        scheme: AuthenticationScheme::Unspecified.into(),
    };
    let answer = client.get_sip_authentication_information(request).await?.into_inner();
    let vectors = answer.authentication_information.context("an answer carries vectors")?.vectors;
    ensure!(vectors.len() == 1, "{} vectors were answered", vectors.len());
    Ok(())
}

/// One lookup of an own user.
pub(crate) async fn look_up_own(mut client: DatabaseClient<Channel>, user: u64) -> Result<()> {
    let request = database::GetSipAuthenticationInformationRequest {
        identities: Some(primary_identities(user)),
        vector_count: 1,
        requesting_mc_system_id: PRIMARY.to_owned(),
        ..Default::default()
    };
    let answer = client.get_sip_authentication_information(request).await?.into_inner();
    let vectors = answer.authentication_information.context("an answer carries vectors")?.vectors;
    ensure!(vectors.len() == 1, "{} vectors were answered", vectors.len());
    Ok(())
}

fn primary_identities(user: u64) -> SipIdentities {
    let name = format!("user{user:06}@{PRIMARY}");
    SipIdentities { impus: vec![format!("sip:{name}")], impi: name }
}

fn partner_identities(user: u64) -> SipIdentities {
    let name = format!("user{user:06}.alpha@visitors.{PARTNER}");
    SipIdentities { impus: vec![format!("sip:{name}")], impi: name }
}

fn new_subscriber(user: u64) -> Result<NewSubscriber> {
    let identities = primary_identities(user);
    let identities = mcx_types::SipIdentities {
        impi: identities.impi.parse()?,
        impus: identities.impus.iter().map(|impu| impu.parse()).collect::<Result<_, _>>()?,
    };
    let key = SubscriberKey::from_hex(&format!("{user:032x}"))?;
    let opc = Opc::from_hex(&format!("{:032x}", u128::from(user) << 64))?;
    Ok(NewSubscriber::new(identities, key, opc))
}

fn permit(user: u64) -> migration::ImportPermitsRequest {
    let permit = migration::MigrationPermit {
        primary_impi: primary_identities(user).impi,
        partner_mc_system_id: PARTNER.to_owned(),
        partner_identities: Some(partner_identities(user)),
        ..Default::default()
    };
    migration::ImportPermitsRequest { permit: Some(permit) }
}

fn binding(user: u64) -> migration::ImportBindingsRequest {
    let binding = migration::Binding {
        partner_identities: Some(partner_identities(user)),
        primary_identities: Some(primary_identities(user)),
        primary_mc_system_id: PRIMARY.to_owned(),
        ..Default::default()
    };
    migration::ImportBindingsRequest { binding: Some(binding) }
}
