//! What must be refused, and what must heal.

use std::io::Write;

use anyhow::{Context, Result};
use mcx_aka::SubscriberKey;
use mcx_aka::isim::SequenceArray;
use mcx_proto::migration::v1 as proto;
use mcx_proto::migration::v1::get_binding_request::Binding as Key;
use mcx_ue::{SignallingError, SignallingRegistration};

use super::report::{Check, Report};
use crate::dev::{DevSystem, Federation};
use crate::phone::Phone;

/// Whose migration is refused, so that alice's registration stays.
const OTHER_USER: &str = "bob";

/// How far the ISIM of the stale sequence number is ahead of the network.
const AHEAD: u64 = 100_000;

pub(super) async fn run(federation: &Federation, report: &mut Report, out: &mut impl Write) -> Result<()> {
    let checks = [
        suspended_agreement(federation).await?,
        suspended_binding(federation).await?,
        unknown_visitor(federation).await?,
        wrong_key(federation).await?,
        stale_sequence_number(federation).await?,
        deregistration(federation).await?,
    ];
    for check in checks {
        report.check(out, check)?;
    }
    Ok(())
}

/// The trace of the vector that was released last.
pub(super) async fn trace_of_last_release(federation: &Federation) -> Result<String> {
    let request = proto::ListAuditRecordsRequest {
        page_size: 1,
        decision: proto::AuditDecision::Released.into(),
        ..Default::default()
    };
    let page = federation.primary.operator.audit.clone().list_audit_records(request).await?.into_inner();
    Ok(page.audit_records.into_iter().next().map(|record| record.trace_id).unwrap_or_default())
}

fn phone(federation: &Federation, name: &str) -> Result<Phone> {
    let registrar = federation.partner.system.addresses.sip_udp.context("the SIP core listens on UDP")?;
    Ok(Phone::of(federation.subscriber(name)?, registrar))
}

async fn register(phone: Phone) -> Result<SignallingRegistration, SignallingError> {
    phone.connect().await?.register().await
}

/// What came of a registration, in a few words.
fn outcome(registered: &Result<SignallingRegistration, SignallingError>) -> String {
    match registered {
        Ok(registration) if registration.resynchronised => "registered after resynchronisation".to_owned(),
        Ok(_) => "registered".to_owned(),
        Err(SignallingError::Forbidden) => "403 Forbidden".to_owned(),
        Err(SignallingError::ServerUnavailable { status, .. }) => format!("{status}"),
        Err(SignallingError::NetworkAuthenticationFailed) => "refused by the ISIM: MAC failure".to_owned(),
        Err(other) => other.to_string(),
    }
}

/// Why the partner's latest record of a user says that she was refused.
async fn latest_reason(system: &DevSystem, primary_impi: &str) -> Result<String> {
    let request = proto::ListAuditRecordsRequest {
        page_size: 1,
        primary_impi: primary_impi.to_owned(),
        ..Default::default()
    };
    let page = system.operator.audit.clone().list_audit_records(request).await?.into_inner();
    let record = page.audit_records.first().context("a refusal is recorded")?;
    let name = record.reason().as_str_name();
    Ok(name.strip_prefix("ERROR_REASON_").unwrap_or(name).to_owned())
}

/// The primary suspends its agreement with the partner: no vector of anybody leaves.
async fn suspended_agreement(federation: &Federation) -> Result<Check> {
    set_agreement_state(federation, proto::AgreementState::Suspended).await?;
    let registered = register(phone(federation, OTHER_USER)?).await;
    let user = federation.subscriber(OTHER_USER)?.identities.impi.to_string();
    let reason = latest_reason(&federation.partner, &user).await?;
    set_agreement_state(federation, proto::AgreementState::Active).await?;
    Ok(Check {
        name: "agreement suspended by the primary",
        expected: "503, PARTNER_REFUSED_US".to_owned(),
        observed: format!("{}, {reason}", outcome(&registered)),
    })
}

async fn set_agreement_state(federation: &Federation, state: proto::AgreementState) -> Result<()> {
    let mut agreements = federation.primary.operator.agreements.clone();
    let key = proto::GetAgreementRequest { partner_mc_system_id: federation.partner.system.id.to_string() };
    let agreement = agreements.get_agreement(key).await?.into_inner().agreement;
    let agreement = agreement.context("an agreement was answered")?;
    let agreement = Some(proto::Agreement { state: state.into(), ..agreement });
    agreements.update_agreement(proto::UpdateAgreementRequest { agreement, ..Default::default() }).await?;
    Ok(())
}

async fn suspended_binding(federation: &Federation) -> Result<Check> {
    let mut bindings = federation.partner.operator.bindings.clone();
    let user = federation.subscriber(OTHER_USER)?;
    let key = Key::PartnerImpi(user.partner.identities.impi.to_string());
    let answer = bindings.get_binding(proto::GetBindingRequest { binding: Some(key) }).await?.into_inner();
    let binding = answer.binding.context("a binding was answered")?;
    let suspended = proto::Binding { state: proto::BindingState::Suspended.into(), ..binding };
    let request = proto::UpdateBindingRequest { binding: Some(suspended), ..Default::default() };
    let suspended = bindings.update_binding(request).await?.into_inner().binding;

    let registered = register(phone(federation, OTHER_USER)?).await;
    let reason = latest_reason(&federation.partner, user.identities.impi.as_str()).await?;

    let enabled =
        suspended.map(|binding| proto::Binding { state: proto::BindingState::Enabled.into(), ..binding });
    bindings.update_binding(proto::UpdateBindingRequest { binding: enabled, ..Default::default() }).await?;
    Ok(Check {
        name: "suspended binding",
        expected: "403 Forbidden, BINDING_SUSPENDED".to_owned(),
        observed: format!("{}, {reason}", outcome(&registered)),
    })
}

async fn unknown_visitor(federation: &Federation) -> Result<Check> {
    let stranger = Phone {
        impi: format!("mallory@visitors.{}", federation.partner.system.id).parse()?,
        impu: format!("sip:mallory@visitors.{}", federation.partner.system.id).parse()?,
        ..phone(federation, OTHER_USER)?
    };
    Ok(Check {
        name: "visitor without a binding",
        expected: "403 Forbidden".to_owned(),
        observed: outcome(&register(stranger).await),
    })
}

/// The ISIM has another key than the SIP database, so it does not believe the network.
async fn wrong_key(federation: &Federation) -> Result<Check> {
    let genuine = phone(federation, OTHER_USER)?;
    let mut octets = *genuine.key.expose_octets();
    octets[0] ^= 1;
    let forged = Phone { key: SubscriberKey::from_octets(octets), ..genuine };
    Ok(Check {
        name: "ISIM with another key",
        expected: "refused by the ISIM: MAC failure".to_owned(),
        observed: outcome(&register(forged).await),
    })
}

/// The ISIM has seen higher sequence numbers than the network issues: it answers with AUTS, which travels home, and the next vector fits.
async fn stale_sequence_number(federation: &Federation) -> Result<Check> {
    let fresh = phone(federation, OTHER_USER)?;
    let sequences =
        SequenceArray::try_from(fresh.sequences.to_integers().map(|value| value + AHEAD).as_slice())?;
    let ahead = Phone { sequences, ..fresh };
    Ok(Check {
        name: "sequence number behind the ISIM's, healed",
        expected: "registered after resynchronisation".to_owned(),
        observed: outcome(&register(ahead).await),
    })
}

async fn deregistration(federation: &Federation) -> Result<Check> {
    let mut phone = phone(federation, OTHER_USER)?;
    // Her ISIM was far ahead when it registered, and is no further behind now.
    phone.sequences =
        SequenceArray::try_from(phone.sequences.to_integers().map(|value| value + AHEAD).as_slice())?;
    let mut phone = phone.connect().await?;
    let left = match phone.deregister_all().await {
        Ok(registration) => format!("{} contacts left", registration.contacts.len()),
        Err(error) => error.to_string(),
    };
    Ok(Check {
        name: "deregistration of all contacts",
        expected: "0 contacts left".to_owned(),
        observed: left,
    })
}
