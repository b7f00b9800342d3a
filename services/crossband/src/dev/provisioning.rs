//! Provisions the demo users through the public rpcs, as an operator would. What is there already is left alone, so that a data folder
//! can be used again.

use anyhow::{Context, Result, ensure};
use mcx_proto::migration::v1 as proto;
use mcx_runtime::error::decode_status;
use sip_database::client::NewSubscriber;
use tonic::Code;

use super::{DevSystem, Federation};

/// Makes agreements, subscribers, permits and bindings what the demonstration needs.
///
/// # Errors
/// Where a system does not answer or refuses.
pub(super) async fn provision(federation: &Federation) -> Result<()> {
    agree(&federation.primary, &federation.partner).await?;
    agree(&federation.partner, &federation.primary).await?;
    subscribers(federation).await?;
    permits(federation).await?;
    bindings(federation).await
}

/// `own` agrees with `other`: it learns where its peer listener is and which authority vouches for it.
async fn agree(own: &DevSystem, other: &DevSystem) -> Result<()> {
    let peer = other.system.addresses.peer.context("migration management listens for partners")?;
    let wanted = proto::Agreement {
        partner_mc_system_id: other.system.id.to_string(),
        peer_endpoints: vec![peer.to_string()],
        trust_bundle_pem: other.certificates.authority_pem.clone(),
        state: proto::AgreementState::Active.into(),
        partner_may_ask: vec![proto::PartnerCapability::SipAuthenticationInformation.into()],
        ..Default::default()
    };
    let mut client = own.operator.agreements.clone();
    let key = proto::GetAgreementRequest { partner_mc_system_id: wanted.partner_mc_system_id.clone() };
    match client.get_agreement(key).await {
        Ok(present) => {
            let present = present.into_inner().agreement.context("an agreement was answered")?;
            let is_current = present.peer_endpoints == wanted.peer_endpoints
                && present.trust_bundle_pem == wanted.trust_bundle_pem;
            if !is_current {
                let agreement = proto::Agreement {
                    peer_endpoints: wanted.peer_endpoints,
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

async fn subscribers(federation: &Federation) -> Result<()> {
    let subscribers = federation.subscribers.iter().map(|subscriber| NewSubscriber {
        amf: subscriber.amf,
        ..NewSubscriber::with_operator_key(
            subscriber.identities.clone(),
            subscriber.key.clone(),
            &subscriber.operator_key,
        )
    });
    let subscribers: Vec<NewSubscriber> = subscribers.collect();
    let outcome = federation.primary.operator.subscribers.import(subscribers).await?;
    ensure!(outcome.refused_count == 0, "subscribers were refused: {:?}", outcome.refusals);
    Ok(())
}

async fn permits(federation: &Federation) -> Result<()> {
    let items: Vec<_> = federation
        .by_hand()
        .map(|subscriber| proto::ImportPermitsRequest {
            permit: Some(proto::MigrationPermit {
                primary_impi: subscriber.identities.impi.to_string(),
                partner_mc_system_id: federation.partner.system.id.to_string(),
                partner_identities: Some(subscriber.partner.identities.clone().into()),
                ..Default::default()
            }),
        })
        .collect();
    let mut client = federation.primary.operator.permits.clone();
    let outcome = client.import_permits(futures::stream::iter(items)).await?.into_inner();
    ensure!(outcome.refused_count == 0, "permits were refused: {:?}", outcome.refusals);
    Ok(())
}

async fn bindings(federation: &Federation) -> Result<()> {
    let items: Vec<_> = federation
        .by_hand()
        .map(|subscriber| proto::ImportBindingsRequest {
            binding: Some(proto::Binding {
                partner_identities: Some(subscriber.partner.identities.clone().into()),
                primary_identities: Some(subscriber.identities.clone().into()),
                primary_mc_system_id: federation.primary.system.id.to_string(),
                ..Default::default()
            }),
        })
        .collect();
    let mut client = federation.partner.operator.bindings.clone();
    let outcome = client.import_bindings(futures::stream::iter(items)).await?.into_inner();
    ensure!(outcome.refused_count == 0, "bindings were refused: {:?}", outcome.refusals);
    Ok(())
}
