//! Provisions the demo users through the public rpcs, as an operator would. What is there already is left alone, so that a data folder
//! can be used again.

use anyhow::{Context, Result, ensure};
use mcx_proto::migration::v1 as proto;
use mcx_runtime::error::decode_status;
use mcx_types::Entity;
use sip_database::client::NewSubscriber;
use tonic::Code;

use super::{Reach, Scenario};

/// Makes agreements, subscribers, permits and bindings what the demonstration needs.
///
/// # Errors
/// Where a system does not answer or refuses.
pub(super) async fn provision(scenario: &Scenario) -> Result<()> {
    agree(&scenario.primary, &scenario.partner).await?;
    agree(&scenario.partner, &scenario.primary).await?;
    subscribers(scenario).await?;
    permits(scenario).await?;
    bindings(scenario).await
}

/// `own` agrees with `other`: it learns where its entities listen for partners and which authority vouches for them.
async fn agree(own: &Reach, other: &Reach) -> Result<()> {
    let migration_management =
        other.peers.get(&Entity::MigrationManagement).context("migration management listens for partners")?;
    // An agreement need not name what is reached at the same place.
    let elsewhere = other.peers.iter().filter(|(_, listener)| *listener != migration_management);
    let wanted = proto::Agreement {
        partner_mc_system_id: other.id.to_string(),
        peer_endpoints: vec![migration_management.address.to_string()],
        peer_services: elsewhere
            .map(|(entity, listener)| proto::PeerService {
                entity: entity.to_string(),
                endpoints: vec![listener.address.to_string()],
                presented_entity: listener.shows.to_string(),
            })
            .collect(),
        trust_bundle_pem: other.certificates.authority_pem.clone(),
        state: proto::AgreementState::Active.into(),
        partner_may_ask: vec![proto::PartnerCapability::SipAuthenticationInformation.into()],
        ..Default::default()
    };
    let mut client = own.operator()?.agreements;
    let key = proto::GetAgreementRequest { partner_mc_system_id: wanted.partner_mc_system_id.clone() };
    match client.get_agreement(key).await {
        Ok(present) => {
            let present = present.into_inner().agreement.context("an agreement was answered")?;
            let is_current = present.peer_endpoints == wanted.peer_endpoints
                && present.peer_services == wanted.peer_services
                && present.trust_bundle_pem == wanted.trust_bundle_pem;
            if !is_current {
                let agreement = proto::Agreement {
                    peer_endpoints: wanted.peer_endpoints,
                    peer_services: wanted.peer_services,
                    trust_bundle_pem: wanted.trust_bundle_pem,
                    ..present
                };
                client
                    .update_agreement(proto::UpdateAgreementRequest {
                        agreement: Some(agreement),
                        ..Default::default()
                    })
                    .await?;
            }
        }
        Err(status) if status.code() == Code::NotFound => {
            client
                .create_agreement(proto::CreateAgreementRequest {
                    agreement: Some(wanted),
                    ..Default::default()
                })
                .await?;
        }
        Err(status) => return Err(decode_status(&status).into()),
    }
    Ok(())
}

/// Makes the users subscribers of the primary.
///
/// # Errors
/// Where it does not answer or refuses.
pub(super) async fn subscribers(scenario: &Scenario) -> Result<()> {
    let subscribers = scenario.subscribers.iter().map(|subscriber| NewSubscriber {
        amf: subscriber.amf,
        ..NewSubscriber::with_operator_key(
            subscriber.identities.clone(),
            subscriber.key.clone(),
            &subscriber.operator_key,
        )
    });
    let subscribers: Vec<NewSubscriber> = subscribers.collect();
    let outcome = scenario.primary.operator()?.subscribers.import(subscribers).await?;
    ensure!(outcome.refused_count == 0, "subscribers were refused: {:?}", outcome.refusals);
    Ok(())
}

async fn permits(scenario: &Scenario) -> Result<()> {
    let items: Vec<_> = scenario
        .by_hand()
        .map(|subscriber| proto::ImportPermitsRequest {
            permit: Some(proto::MigrationPermit {
                primary_impi: subscriber.identities.impi.to_string(),
                partner_mc_system_id: scenario.partner.id.to_string(),
                partner_identities: Some(subscriber.partner.identities.clone().into()),
                ..Default::default()
            }),
        })
        .collect();
    let mut client = scenario.primary.operator()?.permits;
    let outcome = client.import_permits(futures::stream::iter(items)).await?.into_inner();
    ensure!(outcome.refused_count == 0, "permits were refused: {:?}", outcome.refusals);
    Ok(())
}

async fn bindings(scenario: &Scenario) -> Result<()> {
    let items: Vec<_> = scenario
        .by_hand()
        .map(|subscriber| proto::ImportBindingsRequest {
            binding: Some(proto::Binding {
                partner_identities: Some(subscriber.partner.identities.clone().into()),
                primary_identities: Some(subscriber.identities.clone().into()),
                primary_mc_system_id: scenario.primary.id.to_string(),
                ..Default::default()
            }),
        })
        .collect();
    let mut client = scenario.partner.operator()?.bindings;
    let outcome = client.import_bindings(futures::stream::iter(items)).await?.into_inner();
    ensure!(outcome.refused_count == 0, "bindings were refused: {:?}", outcome.refusals);
    Ok(())
}
