//! A UE as it calls the MC service server.

use std::time::Duration;

use mcx_proto::mcservice::v1 as proto;
use mcx_proto::mcservice::v1::affiliation_service_client::AffiliationServiceClient;
use mcx_proto::mcservice::v1::communication_service_client::CommunicationServiceClient;
use mcx_proto::mcservice::v1::functional_alias_activation_service_client::FunctionalAliasActivationServiceClient;
use mcx_proto::mcservice::v1::service_authorization_service_client::ServiceAuthorizationServiceClient;
use mcx_proto::mcservice::v1::watch_service_status_response::Event;
use mcx_testkit::authorized;
use mcx_types::{McService, McServiceGroupId};
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use crate::fixture::{UE, wire};

/// A user of a UE: her token, and where she calls.
pub(crate) struct Caller {
    pub(crate) channel: Channel,
    pub(crate) token: String,
}

type Answer<T> = Result<Response<T>, Status>;

impl Caller {
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        authorized(message, &self.token)
    }

    pub(crate) fn service(&self) -> ServiceAuthorizationServiceClient<Channel> {
        ServiceAuthorizationServiceClient::new(self.channel.clone())
    }

    pub(crate) fn affiliations(&self) -> AffiliationServiceClient<Channel> {
        AffiliationServiceClient::new(self.channel.clone())
    }

    pub(crate) fn aliases(&self) -> FunctionalAliasActivationServiceClient<Channel> {
        FunctionalAliasActivationServiceClient::new(self.channel.clone())
    }

    pub(crate) fn communication(&self) -> CommunicationServiceClient<Channel> {
        CommunicationServiceClient::new(self.channel.clone())
    }

    pub(crate) async fn migrate(
        &self,
        request: proto::AuthorizeMigrationServiceRequest,
    ) -> Answer<proto::AuthorizeMigrationServiceResponse> {
        self.service().authorize_migration_service(self.request(request)).await
    }

    pub(crate) async fn log_on(
        &self,
        mc_service: McService,
        profile_index: Option<u32>,
        client: Uuid,
    ) -> Answer<proto::AuthorizeServiceResponse> {
        let request = proto::AuthorizeServiceRequest {
            mc_service: wire(mc_service),
            profile_index,
            client_instance: client.to_string(),
        };
        self.service().authorize_service(self.request(request)).await
    }

    /// Authorized with MCPTT on the usual UE.
    pub(crate) async fn logged_on(self) -> Self {
        self.log_on(McService::Ptt, None, UE).await.unwrap();
        self
    }

    pub(crate) async fn log_off(&self, mc_service: McService, client: Uuid) -> bool {
        let request = proto::DeauthorizeServiceRequest {
            mc_service: wire(mc_service),
            client_instance: client.to_string(),
        };
        let answer = self.service().deauthorize_service(self.request(request)).await;
        answer.unwrap().into_inner().was_authorized
    }

    pub(crate) async fn refresh(
        &self,
        mc_service: McService,
        client: Uuid,
    ) -> Answer<proto::RefreshServiceAuthorizationResponse> {
        let request = proto::RefreshServiceAuthorizationRequest {
            mc_service: wire(mc_service),
            client_instance: client.to_string(),
        };
        self.service().refresh_service_authorization(self.request(request)).await
    }

    pub(crate) async fn status(&self, mc_service: McService) -> proto::GetServiceStatusResponse {
        let request = proto::GetServiceStatusRequest { mc_service: wire(mc_service) };
        self.service().get_service_status(self.request(request)).await.unwrap().into_inner()
    }

    /// Watches from now on: what is told first is read away.
    pub(crate) async fn watch(&self, client: Uuid) -> Watching {
        let mut watching = self.resume(client, String::new()).await.unwrap();
        while watching.next().await.event.is_some() {}
        watching
    }

    pub(crate) async fn resume(&self, client: Uuid, resume_token: String) -> Result<Watching, Status> {
        let request = proto::WatchServiceStatusRequest { client_instance: client.to_string(), resume_token };
        let stream = self.service().watch_service_status(self.request(request)).await?.into_inner();
        Ok(Watching(stream))
    }

    pub(crate) async fn affiliate(
        &self,
        client: Uuid,
        groups: &[&McServiceGroupId],
    ) -> Answer<proto::AffiliateResponse> {
        let request = proto::AffiliateRequest {
            mc_service: wire(McService::Ptt),
            client_instance: client.to_string(),
            group_ids: groups.iter().map(ToString::to_string).collect(),
        };
        self.affiliations().affiliate(self.request(request)).await
    }

    /// The rules by which the client is affiliated, or not, in the order asked for.
    pub(crate) async fn affiliate_rules(
        &self,
        client: Uuid,
        groups: &[&McServiceGroupId],
    ) -> Vec<(bool, proto::DecisionRule)> {
        let outcomes = self.affiliate(client, groups).await.unwrap().into_inner().outcomes;
        outcomes.iter().map(|outcome| (outcome.affiliated, outcome.rule())).collect()
    }

    pub(crate) async fn affiliated(&self) -> Vec<(String, String)> {
        let request = proto::ListAffiliationsRequest { mc_service: wire(McService::Ptt) };
        let answer = self.affiliations().list_affiliations(self.request(request)).await.unwrap();
        let affiliations = answer.into_inner().affiliations;
        affiliations.into_iter().map(|found| (found.group_id, found.client_instance)).collect()
    }

    /// Asks whether she may call.
    pub(crate) async fn may_call(
        &self,
        kind: proto::CommunicationKind,
        target: proto::authorize_communication_request::Target,
    ) -> Answer<proto::AuthorizeCommunicationResponse> {
        let request = proto::AuthorizeCommunicationRequest {
            mc_service: wire(McService::Ptt),
            kind: kind.into(),
            target: Some(target),
            ..Default::default()
        };
        self.communication().authorize_communication(self.request(request)).await
    }
}

/// A watch under way.
pub(crate) struct Watching(Streaming<proto::WatchServiceStatusResponse>);

impl Watching {
    /// The next message, whatever it is.
    pub(crate) async fn next(&mut self) -> proto::WatchServiceStatusResponse {
        self.message().await.unwrap()
    }

    /// The next message, or why the watch has ended.
    pub(crate) async fn message(&mut self) -> Result<proto::WatchServiceStatusResponse, Status> {
        let next = tokio::time::timeout(Duration::from_secs(20), self.0.message()).await;
        Ok(next.expect("something is told in time")?.expect("the watch has not ended"))
    }

    /// The next event; positions are passed over.
    pub(crate) async fn event(&mut self) -> Event {
        loop {
            if let Some(event) = self.next().await.event {
                return event;
            }
        }
    }

    /// Why the service of the client ended.
    pub(crate) async fn ended(&mut self) -> proto::EndReason {
        match self.event().await {
            Event::Ended(ended) => ended.reason(),
            other => panic!("the service has not ended, but {other:?}"),
        }
    }

    /// Why the user is not served by the partner any more.
    pub(crate) async fn home_again(&mut self) -> proto::EndReason {
        match self.event().await {
            Event::ServedByChanged(changed) => changed.ended(),
            other => panic!("she is not home again, but {other:?}"),
        }
    }
}
