//! Configurations and policies: each is one document, replaced as a whole by operators.

use mcx_proto::configuration::v1 as proto;
use mcx_proto::configuration::v1::watch_configuration_response::Event;
use mcx_store::StoreError;
use mcx_store::changes::NewChange;
use mcx_store::idempotency::MutatingRequest;
use mcx_types::{McService, McSystemId, Violations};
use prost::Message;

use super::App;
use super::mutation::{Begun, ChangedBy, Mutation};
use super::watch::{news, service_configuration_topic, ue_topic};
use crate::domain::visitor_policy::VisitorPolicy;
use crate::error::Error;
use crate::store::documents::{self, Kind, Stored, Version};
use crate::store::{Page, visitors};
use crate::wire;
use crate::wire::document::{Document, ue_configuration_key};
use crate::wire::user_profile::StoredSystems;

impl App {
    /// A document, if there is one with this key.
    pub(crate) async fn document<D: Document>(&self, key: &str) -> Result<Option<D>, Error> {
        let stored = documents::find(&self.database, D::KIND, key).await?;
        Ok(stored.as_ref().map(D::read).transpose()?)
    }

    /// A page of documents in the order of their keys.
    pub(crate) async fn documents<D: Document>(
        &self,
        prefix: &str,
        after: &str,
        limit: u32,
    ) -> Result<Page<D>, Error> {
        let page = documents::list(&self.database, D::KIND, prefix, after, limit).await?;
        Ok(page.try_map(|stored| D::read(&stored))?)
    }

    /// A page of the versions of a document, the newest first.
    pub(crate) async fn versions(
        &self,
        kind: Kind,
        key: &str,
        page_token: &str,
        limit: u32,
    ) -> Result<Page<Version>, Error> {
        let before = match page_token {
            "" => i64::MAX,
            token => {
                let mut violations = Violations::new();
                let before = violations.accept(
                    "page_token",
                    token.parse().map_err(|_| "must be the next_page_token of the page before"),
                );
                violations.finish(before)?
            }
        };
        Ok(documents::versions(&self.database, kind, key, before, limit).await?)
    }

    /// Writes a document that has `version`, or that is not there yet (`None`).
    async fn put<D: Document>(
        &self,
        mutation: &mut Mutation,
        document: &D,
        version: Option<i64>,
    ) -> Result<D, Error> {
        let (key, content) = (document.key(), document.encode_to_vec());
        let transaction = &mut mutation.transaction;
        let stored = match version {
            Some(version) => {
                documents::replace(transaction, D::KIND, &key, content, version, &mutation.change).await?
            }
            None => match documents::insert(transaction, D::KIND, &key, content, &mutation.change).await {
                Err(StoreError::UniqueViolation { .. }) => None,
                outcome => Some(outcome?),
            },
        };
        Ok(D::read(&stored.ok_or(Error::EtagMismatch)?)?)
    }

    pub(crate) async fn initial_ue_configuration(
        &self,
    ) -> Result<proto::InitialUeConfigurationDocument, Error> {
        let key = proto::InitialUeConfigurationDocument::default().key();
        self.document(&key).await?.ok_or(Error::InitialUeConfigurationUnknown)
    }

    pub(crate) async fn update_initial_ue_configuration(
        &self,
        document: proto::InitialUeConfigurationDocument,
        version: Option<i64>,
        request: Option<MutatingRequest>,
        by: ChangedBy,
    ) -> Result<proto::UpdateInitialUeConfigurationResponse, Error> {
        let mut mutation = match self.begin(request, by).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        let document = self.put(&mut mutation, &document, version).await?;
        let response = proto::UpdateInitialUeConfigurationResponse { document: Some(document) };
        self.commit(mutation, &response).await?;
        Ok(response)
    }

    pub(crate) async fn service_configuration(
        &self,
        mc_service: McService,
    ) -> Result<Option<proto::ServiceConfiguration>, Error> {
        self.document(mcx_proto::types::v1::McService::from(mc_service).as_str_name()).await
    }

    pub(crate) async fn update_service_configuration(
        &self,
        configuration: proto::ServiceConfiguration,
        version: Option<i64>,
        request: Option<MutatingRequest>,
        by: ChangedBy,
    ) -> Result<proto::UpdateServiceConfigurationResponse, Error> {
        let mut mutation = match self.begin(request, by).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        let configuration = self.put(&mut mutation, &configuration, version).await?;
        let topic = service_configuration_topic(configuration.mc_service().as_str_name());
        let event = Event::ServiceConfiguration(configuration.clone());
        mutation.news.push(news(
            topic,
            Kind::ServiceConfiguration,
            configuration.key(),
            configuration.version,
            event,
        ));
        let response =
            proto::UpdateServiceConfigurationResponse { service_configuration: Some(configuration) };
        self.commit(mutation, &response).await?;
        Ok(response)
    }

    pub(crate) async fn create_ue_configuration(
        &self,
        mc_service: McService,
        configuration: proto::UeConfiguration,
        request: Option<MutatingRequest>,
        by: ChangedBy,
    ) -> Result<proto::CreateUeConfigurationResponse, Error> {
        let mut mutation = match self.begin(request, by).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        let configuration =
            self.put(&mut mutation, &configuration, None).await.map_err(|error| match error {
                Error::EtagMismatch => {
                    Error::UeConfigurationExists { mc_service, ue_id: configuration.ue_id.clone() }
                }
                other => other,
            })?;
        mutation.news.push(ue_configuration_news(&configuration));
        let response = proto::CreateUeConfigurationResponse { ue_configuration: Some(configuration) };
        self.commit(mutation, &response).await?;
        Ok(response)
    }

    /// The configuration of a UE, exactly the one that is named; an empty `ue_id` is that for all UEs.
    pub(crate) async fn ue_configuration(
        &self,
        mc_service: McService,
        ue_id: &str,
    ) -> Result<Option<proto::UeConfiguration>, Error> {
        self.document(&ue_configuration_key(mc_service.into(), ue_id)).await
    }

    /// The configuration that holds for a UE: its own, or the one for all UEs.
    pub(crate) async fn effective_ue_configuration(
        &self,
        mc_service: McService,
        ue_id: &str,
    ) -> Result<Option<proto::UeConfiguration>, Error> {
        match self.ue_configuration(mc_service, ue_id).await? {
            Some(own) => Ok(Some(own)),
            None => self.ue_configuration(mc_service, "").await,
        }
    }

    pub(crate) async fn update_ue_configuration(
        &self,
        mc_service: McService,
        configuration: proto::UeConfiguration,
        version: i64,
        request: Option<MutatingRequest>,
        by: ChangedBy,
    ) -> Result<proto::UpdateUeConfigurationResponse, Error> {
        let mut mutation = match self.begin(request, by).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        if documents::find_in(&mut mutation.transaction, Kind::UeConfiguration, &configuration.key())
            .await?
            .is_none()
        {
            return Err(Error::UeConfigurationUnknown { mc_service, ue_id: configuration.ue_id });
        }
        let configuration = self.put(&mut mutation, &configuration, Some(version)).await?;
        mutation.news.push(ue_configuration_news(&configuration));
        let response = proto::UpdateUeConfigurationResponse { ue_configuration: Some(configuration) };
        self.commit(mutation, &response).await?;
        Ok(response)
    }

    pub(crate) async fn delete_ue_configuration(
        &self,
        mc_service: McService,
        ue_id: String,
        version: Option<i64>,
        request: Option<MutatingRequest>,
        by: ChangedBy,
    ) -> Result<proto::DeleteUeConfigurationResponse, Error> {
        let mut mutation = match self.begin(request, by).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        let key = ue_configuration_key(mc_service.into(), &ue_id);
        let transaction = &mut mutation.transaction;
        if documents::find_in(transaction, Kind::UeConfiguration, &key).await?.is_none() {
            return Err(Error::UeConfigurationUnknown { mc_service, ue_id });
        }
        let removed = documents::remove(transaction, Kind::UeConfiguration, &key, version, &mutation.change);
        let version = removed.await?.ok_or(Error::EtagMismatch)?;
        let removal = proto::UeConfigurationRemoval {
            mc_service: wire::service_to_wire(mc_service),
            ue_id: ue_id.clone(),
        };
        let event = Event::UeConfigurationRemoval(removal);
        mutation.news.push(news(ue_topic(&ue_id), Kind::UeConfiguration, key, version.unsigned_abs(), event));
        let response = proto::DeleteUeConfigurationResponse {};
        self.commit(mutation, &response).await?;
        Ok(response)
    }

    /// The policy for visitors of a partner, as a message; the one that grants nothing where nobody has written one.
    pub(crate) async fn visitor_policy(&self, partner: &McSystemId) -> Result<proto::VisitorPolicy, Error> {
        let stored = self.document(partner.as_str()).await?;
        Ok(stored.unwrap_or_else(|| wire::visitor_policy::encode(&VisitorPolicy::none(partner.clone()))))
    }

    pub(crate) async fn update_visitor_policy(
        &self,
        policy: &VisitorPolicy,
        version: Option<i64>,
        request: Option<MutatingRequest>,
        by: ChangedBy,
    ) -> Result<proto::UpdateVisitorPolicyResponse, Error> {
        let mut mutation = match self.begin(request, by).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        let message = self.put(&mut mutation, &wire::visitor_policy::encode(policy), version).await?;
        // It is in force with this transaction, since profiles are adapted when they are read. Watchers are told by upkeep.
        visitors::note_policy_news(&mut mutation.transaction, &policy.mc_system_id).await?;
        let response = proto::UpdateVisitorPolicyResponse { visitor_policy: Some(message) };
        self.commit(mutation, &response).await?;
        self.policy_news.notify_one();
        Ok(response)
    }
}

fn ue_configuration_news(configuration: &proto::UeConfiguration) -> NewChange {
    let event = Event::UeConfiguration(configuration.clone());
    let topic = ue_topic(&configuration.ue_id);
    news(topic, Kind::UeConfiguration, configuration.key(), configuration.version, event)
}

/// The policy in a stored document, and its version; the one that grants nothing where there is none.
pub(crate) fn read_policy(
    stored: Option<&Stored>,
    partner: &McSystemId,
    own: &McSystemId,
) -> Result<(VisitorPolicy, i64), Error> {
    let Some(stored) = stored else { return Ok((VisitorPolicy::none(partner.clone()), 0)) };
    let message = proto::VisitorPolicy::decode(stored.content.as_slice())?;
    let mut violations = Violations::new();
    let policy = wire::visitor_policy::decode(&mut violations, "policy", Some(&message), &StoredSystems(own));
    let policy = violations.finish(policy).map_err(|violations| {
        Error::Internal(format!("a stored policy cannot be read back: {violations:?}"))
    })?;
    Ok((policy, stored.version))
}
