//! The MC service UE of a demo user, as the demonstration and the tests switch it on.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use mcx_types::Entity;
use mcx_ue::identity::Credentials;
use mcx_ue::ue::{BootstrapSource, IsimCard, McServiceUe, UeSettings};
use secrecy::SecretString;
use serde_json::json;

use crate::admin::Catalogue;
use crate::dev::{DemoSubscriber, PASSWORD, PRIMARY, REDIRECT_URI, Reach, mc_id};

/// Settings of the UE of a demo user; without a state file it is factory-new.
pub fn settings(subscriber: &DemoSubscriber, state_file: Option<PathBuf>) -> UeSettings {
    let isim = IsimCard {
        key: subscriber.key.clone(),
        opc: subscriber.opc.clone(),
        identities: subscriber.identities.clone(),
        state_file: None,
    };
    let mut settings = UeSettings::new(ue_id(subscriber.name), isim, Arc::new(rand::random::<u128>));
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
    let catalogue = Catalogue::load()?;
    let (entity, method) = catalogue.method("InitialUeConfigurationService/CreateUeEnrolment")?;
    let primary = primary.as_ref();
    let answer = primary.operator_client()?.unary(entity, method, &json!({ "ue_id": ue_id })).await?;
    let code = answer["enrolment_code"].as_str().context("an enrolment code was answered")?;
    let client = primary.client(Entity::ConfigurationManagement)?;
    Ok(BootstrapSource::Enrolment {
        mc_system_id: primary.id.clone(),
        configuration_management: client.to_string(),
        trust_bundle_pem: primary.certificates.authority_pem.clone(),
        enrolment_code: SecretString::from(code),
    })
}

/// A factory-new UE of a demo user, bootstrapped and logged in, and nothing more.
///
/// # Errors
/// Where the primary refuses or does not answer.
pub async fn logged_in(primary: &impl AsRef<Reach>, subscriber: &DemoSubscriber) -> Result<McServiceUe> {
    let mut ue = McServiceUe::switch_on(settings(subscriber, None))?;
    ue.bootstrap(enrol(primary, &ue_id(subscriber.name)).await?).await?;
    ue.authenticate(credentials(subscriber.name)?).await?;
    Ok(ue)
}
