//! The typed client of the SIP core, for operators' tools and the other entities of the same MC system.

use std::time::Duration;

use mcx_proto::sipcore::v1 as proto;
use mcx_proto::sipcore::v1::registration_service_client::RegistrationServiceClient;
use mcx_runtime::client::Outgoing;
use mcx_runtime::error::{RemoteError, decode_status};
use mcx_types::Impu;
use tonic::transport::Channel;
use tonic::{Code, Request, Status, Streaming};

/// Why the SIP core did not answer as asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SipCoreError {
    /// Nobody is registered with this public user identity.
    #[error("nobody is registered with this public user identity")]
    NotRegistered,
    /// Changes may have been missed: watch again, with what is there now.
    #[error("changes of registrations may have been missed")]
    WatchLagged,
    /// The SIP core, or its shared cache, is away or did not answer in time. Try again.
    #[error("the sip core is unavailable: {0}")]
    Unavailable(RemoteError),
    /// A fault of the request or of the SIP core.
    #[error("the sip core failed: {0}")]
    Failed(RemoteError),
}

impl From<Status> for SipCoreError {
    fn from(status: Status) -> Self {
        let remote = decode_status(&status);
        match (remote.reason.as_str(), remote.code) {
            ("NOT_REGISTERED", _) => Self::NotRegistered,
            ("WATCH_LAGGED", _) => Self::WatchLagged,
            (_, Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::ResourceExhausted) => {
                Self::Unavailable(remote)
            }
            _ => Self::Failed(remote),
        }
    }
}

/// The client of the SIP core.
#[derive(Debug, Clone)]
pub struct SipCoreClient {
    inner: RegistrationServiceClient<Outgoing<Channel>>,
    timeout: Duration,
}

impl SipCoreClient {
    /// A client on a channel; each call but a watch ends after `timeout`, or earlier where the call it serves does.
    #[must_use]
    pub fn new(channel: Channel, timeout: Duration) -> Self {
        Self { inner: RegistrationServiceClient::new(Outgoing::new(channel)), timeout }
    }

    /// The registration of an identity.
    ///
    /// # Errors
    /// [`SipCoreError`].
    pub async fn registration(&self, impu: &Impu) -> Result<proto::Registration, SipCoreError> {
        let request = self.request(proto::GetRegistrationRequest { impu: impu.to_string() });
        let answer = self.inner.clone().get_registration(request).await?.into_inner();
        answer.registration.ok_or(SipCoreError::NotRegistered)
    }

    /// One page of registrations and the token of the next; an empty token begins and ends.
    ///
    /// # Errors
    /// [`SipCoreError`].
    pub async fn registrations(
        &self,
        page_size: u32,
        page_token: String,
    ) -> Result<proto::ListRegistrationsResponse, SipCoreError> {
        let request = self.request(proto::ListRegistrationsRequest { page_size, page_token });
        Ok(self.inner.clone().list_registrations(request).await?.into_inner())
    }

    /// Changes of registrations, of one identity or of all, without end.
    ///
    /// # Errors
    /// [`SipCoreError`]; the stream itself yields statuses that [`SipCoreError::from`] reads.
    pub async fn watch(
        &self,
        impu: Option<&Impu>,
        include_current: bool,
    ) -> Result<Streaming<proto::WatchRegistrationsResponse>, SipCoreError> {
        let impu = impu.map(ToString::to_string).unwrap_or_default();
        let request = proto::WatchRegistrationsRequest { impu, include_current };
        Ok(self.inner.clone().watch_registrations(request).await?.into_inner())
    }

    /// Ends a registration, or one contact of it; how many contacts were removed.
    ///
    /// # Errors
    /// [`SipCoreError`].
    pub async fn deregister(&self, impu: &Impu, contact_uri: Option<&str>) -> Result<u32, SipCoreError> {
        let request = self.request(proto::DeregisterRequest {
            impu: impu.to_string(),
            contact_uri: contact_uri.unwrap_or_default().to_owned(),
            request_id: String::new(),
        });
        Ok(self.inner.clone().deregister(request).await?.into_inner().removed_count)
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        request
    }
}
