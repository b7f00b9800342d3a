//! Calls to the application plane servers of one MC system, on behalf of one user: with her access token, within a deadline, and
//! with errors that tell who failed and why.

mod configuration_management;
mod error;
mod functional_alias_management;
mod group_management;
mod mc_service;
mod watch;

pub use configuration_management::{ConfigurationEvent, ConfigurationManagementClient, enrol};
pub use error::ServerError;
pub use functional_alias_management::{FunctionalAliasEvent, FunctionalAliasManagementClient};
pub use group_management::{GroupEvent, GroupManagementClient};
pub use mc_service::{Called, McServiceClient, ServiceStatusEvent};
pub use watch::{Patience, Told, Update, Watch};

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use mcx_federation::{PeerEndpoint, UserDialer};
use mcx_runtime::client::Outgoing;
use mcx_types::{Entity, McSystemId};
use secrecy::{ExposeSecret, SecretString};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use crate::identity::TokenSource;

/// A channel whose calls carry the trace and the deadline.
pub(crate) type UserChannel = Outgoing<Channel>;

/// The largest message that a server may send; a page of profiles with all their groups fits.
const MESSAGE_LIMIT: usize = 16 << 20;

/// How the servers of one MC system are called for one user.
#[derive(Clone)]
pub struct SystemAccess {
    dialer: UserDialer,
    tokens: TokenSource,
    deadline: Duration,
    patience: Patience,
}

impl SystemAccess {
    /// Calls with `dialer`, for the user of `tokens`, each for at most `deadline`; broken watches are taken up again with `patience`.
    #[must_use]
    pub fn new(dialer: UserDialer, tokens: TokenSource, deadline: Duration, patience: Patience) -> Self {
        Self { dialer, tokens, deadline, patience }
    }

    /// The MC system.
    #[must_use]
    pub fn mc_system_id(&self) -> &McSystemId {
        self.dialer.mc_system_id()
    }

    /// The user's tokens there.
    #[must_use]
    pub fn tokens(&self) -> &TokenSource {
        &self.tokens
    }

    /// A caller of one entity. The channel connects with the first call.
    fn caller(&self, entity: Entity, address: &str) -> Result<(Caller, UserChannel), ServerError> {
        let hop = Hop { mc_system_id: self.mc_system_id().clone(), entity };
        let channel = channel(&self.dialer, &hop, address)?;
        let caller = Caller {
            hop: Arc::new(hop),
            tokens: self.tokens.clone(),
            deadline: self.deadline,
            patience: self.patience.clone(),
        };
        Ok((caller, channel))
    }
}

/// Who is called.
#[derive(Debug, Clone)]
pub(crate) struct Hop {
    pub(crate) mc_system_id: McSystemId,
    pub(crate) entity: Entity,
}

fn channel(dialer: &UserDialer, hop: &Hop, address: &str) -> Result<UserChannel, ServerError> {
    let unusable = || ServerError::Unusable {
        mc_system_id: hop.mc_system_id.clone(),
        entity: hop.entity,
        address: address.to_owned(),
    };
    let endpoint: PeerEndpoint = address.parse().map_err(|_| unusable())?;
    Ok(Outgoing::new(dialer.channel(vec![endpoint]).map_err(|_| unusable())?))
}

/// Calls one entity for the user.
#[derive(Clone)]
pub(crate) struct Caller {
    hop: Arc<Hop>,
    tokens: TokenSource,
    deadline: Duration,
    patience: Patience,
}

impl Caller {
    /// Makes one call. An access token that is not taken, for example because its key was withdrawn, is replaced once.
    async fn call<M, R, F>(&self, message: M, send: impl Fn(Request<M>) -> F + Send) -> Result<R, ServerError>
    where
        M: Clone + Send,
        F: Future<Output = Result<Response<R>, Status>> + Send,
    {
        self.attempt(message, Some(self.deadline), send).await
    }

    /// Opens a stream: the deadline is for the opening alone.
    async fn open<M, R, F>(&self, message: M, send: impl Fn(Request<M>) -> F + Send) -> Result<R, ServerError>
    where
        M: Clone + Send,
        F: Future<Output = Result<Response<R>, Status>> + Send,
    {
        match tokio::time::timeout(self.deadline, self.attempt(message, None, send)).await {
            Ok(opened) => opened,
            Err(_) => Err(ServerError::TimedOut {
                mc_system_id: self.hop.mc_system_id.clone(),
                entity: self.hop.entity,
            }),
        }
    }

    async fn attempt<M, R, F>(
        &self,
        message: M,
        timeout: Option<Duration>,
        send: impl Fn(Request<M>) -> F + Send,
    ) -> Result<R, ServerError>
    where
        M: Clone + Send,
        F: Future<Output = Result<Response<R>, Status>> + Send,
    {
        let request = |token: &SecretString| {
            let mut request = Request::new(message.clone());
            if let Some(timeout) = timeout {
                request.set_timeout(timeout);
            }
            if let Some(value) = bearer(token) {
                request.metadata_mut().insert("authorization", value);
            }
            request
        };
        let token = self.tokens.access_token().await.map_err(|error| self.no_token(error))?;
        let answer = match send(request(&token)).await {
            Err(status) if status.code() == Code::Unauthenticated => {
                let token = self.tokens.replace(&token).await.map_err(|error| self.no_token(error))?;
                send(request(&token)).await
            }
            answer => answer,
        };
        answer.map(Response::into_inner).map_err(|status| self.error(&status))
    }

    fn no_token(&self, source: crate::identity::IdentityError) -> ServerError {
        ServerError::NoToken { mc_system_id: self.hop.mc_system_id.clone(), source: Box::new(source) }
    }

    fn error(&self, status: &Status) -> ServerError {
        ServerError::from_status(&self.hop, status)
    }

    fn malformed(&self, what: &'static str) -> ServerError {
        ServerError::Malformed { mc_system_id: self.hop.mc_system_id.clone(), entity: self.hop.entity, what }
    }
}

/// `authorization` for a token (RFC 6750 2.1), not to be shown; none for what cannot be in a header, which no server would take.
fn bearer(token: &SecretString) -> Option<MetadataValue<Ascii>> {
    let mut value: MetadataValue<Ascii> = format!("Bearer {}", token.expose_secret()).parse().ok()?;
    value.set_sensitive(true);
    Some(value)
}
