//! `mcx.sipcore.v1.RegistrationService`.

use futures::StreamExt;
use futures::stream::BoxStream;
use mcx_proto::sipcore::v1 as proto;
use mcx_proto::sipcore::v1::registration_service_server::RegistrationService;
use mcx_runtime::error::status;
use mcx_sip::SipAddress;
use mcx_types::{Impu, Timestamp, Violations};
use tonic::{Request, Response, Status};

use crate::app::{Registry, WatchEvent};
use crate::domain::registration::{Contact, Registration, RegistrationChange};
use crate::domain::request::SipTransport;
use crate::error::SipCoreError;

const DEFAULT_PAGE_SIZE: u32 = 100;
const PAGE_SIZE_LIMIT: u32 = 1000;

#[derive(Clone)]
pub(crate) struct RegistrationApi {
    registry: Registry,
}

impl RegistrationApi {
    pub(crate) fn new(registry: Registry) -> Self {
        Self { registry }
    }

    async fn get(&self, message: proto::GetRegistrationRequest) -> Result<Registration, SipCoreError> {
        let impu = required_impu(&message.impu)?;
        self.registry.get(&impu).await?.ok_or(SipCoreError::NotRegistered(impu))
    }

    async fn list(
        &self,
        message: proto::ListRegistrationsRequest,
    ) -> Result<proto::ListRegistrationsResponse, SipCoreError> {
        let (after, limit) = decode_page(&message)?;
        let (registrations, next) = self.registry.list(after.as_ref().map(Impu::as_str), limit).await?;
        Ok(proto::ListRegistrationsResponse {
            registrations: registrations.into_iter().map(registration).collect(),
            next_page_token: next.unwrap_or_default(),
        })
    }

    fn watch(
        &self,
        message: &proto::WatchRegistrationsRequest,
    ) -> Result<BoxStream<'static, Result<proto::WatchRegistrationsResponse, Status>>, SipCoreError> {
        let impu = match message.impu.as_str() {
            "" => None,
            text => Some(required_impu(text)?),
        };
        let events = self.registry.watch(impu, message.include_current);
        Ok(events.map(|event| event.map(watched).map_err(|error| status(&SipCoreError::from(error)))).boxed())
    }

    async fn deregister(&self, message: proto::DeregisterRequest) -> Result<usize, SipCoreError> {
        let (impu, contact) = decode_deregister(&message)?;
        tracing::info!(%impu, request_id = message.request_id, "deregistration asked for");
        let removed = self.registry.deregister(&impu, contact.as_ref()).await?;
        removed.ok_or(SipCoreError::NotRegistered(impu))
    }
}

#[tonic::async_trait]
impl RegistrationService for RegistrationApi {
    async fn get_registration(
        &self,
        request: Request<proto::GetRegistrationRequest>,
    ) -> Result<Response<proto::GetRegistrationResponse>, Status> {
        let found = self.get(request.into_inner()).await.map_err(|error| status(&error))?;
        Ok(Response::new(proto::GetRegistrationResponse { registration: Some(registration(found)) }))
    }

    async fn list_registrations(
        &self,
        request: Request<proto::ListRegistrationsRequest>,
    ) -> Result<Response<proto::ListRegistrationsResponse>, Status> {
        self.list(request.into_inner()).await.map(Response::new).map_err(|error| status(&error))
    }

    type WatchRegistrationsStream = BoxStream<'static, Result<proto::WatchRegistrationsResponse, Status>>;

    async fn watch_registrations(
        &self,
        request: Request<proto::WatchRegistrationsRequest>,
    ) -> Result<Response<Self::WatchRegistrationsStream>, Status> {
        self.watch(request.get_ref()).map(Response::new).map_err(|error| status(&error))
    }

    async fn deregister(
        &self,
        request: Request<proto::DeregisterRequest>,
    ) -> Result<Response<proto::DeregisterResponse>, Status> {
        let removed = self.deregister(request.into_inner()).await.map_err(|error| status(&error))?;
        let removed_count = u32::try_from(removed).unwrap_or(u32::MAX);
        Ok(Response::new(proto::DeregisterResponse { removed_count }))
    }
}

fn required_impu(text: &str) -> Result<Impu, Violations> {
    let mut violations = Violations::new();
    let impu = violations.parse("impu", text);
    violations.finish(impu)
}

fn decode_page(message: &proto::ListRegistrationsRequest) -> Result<(Option<Impu>, usize), Violations> {
    let mut violations = Violations::new();
    let size = if message.page_size == 0 { DEFAULT_PAGE_SIZE } else { message.page_size };
    if size > PAGE_SIZE_LIMIT {
        violations.add("page_size", format_args!("must be 0 to {PAGE_SIZE_LIMIT}"));
    }
    let after = match message.page_token.as_str() {
        "" => Some(None),
        token => violations.parse("page_token", token).map(Some),
    };
    violations.finish(after.zip(usize::try_from(size).ok()))
}

fn decode_deregister(message: &proto::DeregisterRequest) -> Result<(Impu, Option<SipAddress>), Violations> {
    let mut violations = Violations::new();
    let impu = violations.parse("impu", &message.impu);
    let contact = match message.contact_uri.as_str() {
        "" => Some(None),
        uri => violations.accept("contact_uri", SipAddress::parse(uri)).map(Some),
    };
    violations.finish(impu.zip(contact))
}

fn registration(registration: Registration) -> proto::Registration {
    proto::Registration {
        impu: registration.impu.into(),
        impi: registration.impi.into(),
        associated_impus: registration.associated_impus.into_iter().map(String::from).collect(),
        contacts: registration.contacts.into_iter().map(contact).collect(),
        visitor: registration.visitor,
    }
}

fn contact(contact: Contact) -> proto::Contact {
    let transport = match contact.transport {
        SipTransport::Udp => proto::SipTransport::Udp,
        SipTransport::Tcp => proto::SipTransport::Tcp,
        SipTransport::Tls => proto::SipTransport::Tls,
    };
    proto::Contact {
        uri: contact.uri,
        instance_id: contact.instance_id.unwrap_or_default(),
        // RFC 3261 20.10 gives no default; 1.0 is what everybody takes.
        preference_thousandths: contact.preference_thousandths.unwrap_or(1000).into(),
        transport: transport.into(),
        source_address: contact.source_address.to_string(),
        user_agent: contact.user_agent.unwrap_or_default(),
        register_time: Some(contact.registered_at.into()),
        expire_time: Some(contact.expires_at.into()),
    }
}

fn watched(event: WatchEvent) -> proto::WatchRegistrationsResponse {
    match event {
        WatchEvent::Current(current) => proto::WatchRegistrationsResponse {
            change: proto::RegistrationChange::Current.into(),
            change_time: Some(current.authenticated_at.into()),
            registration: Some(registration(*current)),
        },
        WatchEvent::Changed(event) => {
            let change = match event.change {
                RegistrationChange::Registered => proto::RegistrationChange::Registered,
                RegistrationChange::Refreshed => proto::RegistrationChange::Refreshed,
                RegistrationChange::Deregistered => proto::RegistrationChange::Deregistered,
                RegistrationChange::Expired => proto::RegistrationChange::Expired,
            };
            proto::WatchRegistrationsResponse {
                change: change.into(),
                change_time: Some(Timestamp::from_micros(event.changed_at_micros).into()),
                registration: Some(registration(event.registration)),
            }
        }
    }
}
