//! The MC service UE of a demo user, as the demonstration and the tests switch it on.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use mcx_aka::{Opc, SubscriberKey};
use mcx_types::{Entity, SipIdentities};
use mcx_ue::identity::Credentials;
use mcx_ue::ue::{BootstrapSource, IsimCard, McServiceUe, UeSettings};
use secrecy::SecretString;
use serde_json::json;

use crate::admin::{Catalogue, Connection, OperatorClient};
use crate::dev::{DemoSubscriber, PASSWORD, PRIMARY, REDIRECT_URI, Reach, mc_id};
use crate::ready_file::{ReadyFile, ReadySubscriber};

/// Settings of the UE of a demo user; without a state file it is factory-new.
pub fn settings(subscriber: &DemoSubscriber, state_file: Option<PathBuf>) -> UeSettings {
    let isim = IsimCard {
        key: subscriber.key.clone(),
        opc: subscriber.opc.clone(),
        identities: subscriber.identities.clone(),
        state_file: None,
    };
    let mut settings = UeSettings::new(ue_id(&subscriber.name), isim, Arc::new(rand::random::<u128>));
    settings.redirect_uri = REDIRECT_URI.to_owned();
    settings.state_file = state_file;
    settings
}

/// The instance identifier of a demo user's UE.
pub fn ue_id(user: &str) -> String {
    format!("urn:crossband:ue:{user}")
}

/// What a demo user logs in with.
///
/// # Errors
/// Never, unless a constant of the demonstration is wrong.
pub fn credentials(user: &str) -> Result<Credentials> {
    Ok(Credentials { mc_id: mc_id(user, PRIMARY).parse()?, password: SecretString::from(PASSWORD) })
}

/// Has the operator of the primary issue an enrolment code for a UE.
///
/// # Errors
/// Where the system refuses or does not answer.
pub async fn enrol(primary: &impl AsRef<Reach>, ue_id: &str) -> Result<BootstrapSource> {
    let primary = primary.as_ref();
    let client = primary.client(Entity::ConfigurationManagement)?;
    Ok(BootstrapSource::Enrolment {
        mc_system_id: primary.id.clone(),
        configuration_management: client.to_string(),
        trust_bundle_pem: primary.certificates.authority_pem.clone(),
        enrolment_code: enrolment_code(&primary.operator_client()?, ue_id).await?,
    })
}

/// Has an operator issue an enrolment code for a UE; one that it had before is void.
async fn enrolment_code(operator: &OperatorClient, ue_id: &str) -> Result<SecretString> {
    let catalogue = Catalogue::load()?;
    let (entity, method) = catalogue.method("InitialUeConfigurationService/CreateUeEnrolment")?;
    let answer = operator.unary(entity, method, &json!({ "ue_id": ue_id })).await?;
    let code = answer["enrolment_code"].as_str().context("an enrolment code was answered")?;
    Ok(SecretString::from(code))
}

/// Settings of the UE of a user of a ready file; without a state file it is factory-new.
///
/// # Errors
/// Where what the file says of her is not what it should be.
pub fn ready_settings(
    ready: &ReadyFile,
    user: &ReadySubscriber,
    state_file: Option<PathBuf>,
) -> Result<UeSettings> {
    let isim = IsimCard {
        key: SubscriberKey::from_hex(&user.k)?,
        opc: Opc::from_hex(&user.opc)?,
        identities: SipIdentities {
            impi: user.impi.parse()?,
            impus: user.impus.iter().map(|impu| impu.parse()).collect::<Result<_, _>>()?,
        },
        state_file: state_file.as_ref().map(|file| file.with_extension("isim")),
    };
    let mut settings = UeSettings::new(ue_id(&user.name), isim, Arc::new(rand::random::<u128>));
    settings.redirect_uri = ready.redirect_uri.clone();
    settings.state_file = state_file;
    Ok(settings)
}

/// What a user of a ready file logs in with.
///
/// # Errors
/// Where the file does not say.
pub fn ready_credentials(user: &ReadySubscriber) -> Result<Credentials> {
    Ok(Credentials { mc_id: user.mc_id.parse()?, password: SecretString::from(user.password.clone()) })
}

/// How the UE of a user of a ready file is bootstrapped: with a code that the operator of the primary issues.
///
/// # Errors
/// Where the file does not say, or the primary refuses or does not answer.
pub async fn ready_enrolment(ready: &ReadyFile, user: &ReadySubscriber) -> Result<BootstrapSource> {
    let primary = ready.system(&user.primary_system)?;
    let trust_bundle_pem = std::fs::read_to_string(&primary.ca_pem)
        .with_context(|| format!("cannot read {}", primary.ca_pem.display()))?;
    let operator = OperatorClient::new(Connection::to(primary)?);
    Ok(BootstrapSource::Enrolment {
        mc_system_id: user.primary_system.parse()?,
        configuration_management: primary.client_of(Entity::ConfigurationManagement)?.to_string(),
        trust_bundle_pem,
        enrolment_code: enrolment_code(&operator, &ue_id(&user.name)).await?,
    })
}

/// A factory-new UE of a demo user, bootstrapped and logged in, and nothing more.
///
/// # Errors
/// Where the primary refuses or does not answer.
pub async fn logged_in(primary: &impl AsRef<Reach>, subscriber: &DemoSubscriber) -> Result<McServiceUe> {
    let mut ue = McServiceUe::switch_on(settings(subscriber, None))?;
    ue.bootstrap(enrol(primary, &ue_id(&subscriber.name)).await?).await?;
    ue.authenticate(credentials(&subscriber.name)?).await?;
    Ok(ue)
}
