//! The typed client of functional alias management, for the MC service server of the same MC system.

use std::time::Duration;

use mcx_proto::functionalalias::v1 as proto;
use mcx_proto::functionalalias::v1::functional_alias_lookup_service_client::FunctionalAliasLookupServiceClient;
use mcx_runtime::client::Outgoing;
use mcx_runtime::error::{RemoteError, decode_status};
use mcx_types::{FunctionalAlias, McServiceId, Violations};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::domain::AliasTerms;
use crate::wire;

/// How long a call may take unless the client is told otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a call to the own functional alias management has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// It is away or busy; the same call may succeed later.
    #[error("functional alias management is unreachable: {0}")]
    Unreachable(RemoteError),
    /// It refused the call.
    #[error("functional alias management refused: {0}")]
    Refused(RemoteError),
    /// Its answer cannot be understood.
    #[error("the answer of functional alias management is malformed")]
    Malformed(Violations),
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        let remote = decode_status(&status);
        match remote.code {
            Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Cancelled => {
                Self::Unreachable(remote)
            }
            _ => Self::Refused(remote),
        }
    }
}

/// A functional alias as it was in force when it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AliasInForce {
    /// What is said of it.
    pub terms: AliasTerms,
    /// Its version, as decisions name it.
    pub etag: String,
    /// Whether the user asked about is among the users of this MC system who may activate it.
    pub is_allowed_user: bool,
}

/// What the MC service server asks.
#[derive(Debug, Clone)]
pub struct FunctionalAliasLookupClient {
    inner: FunctionalAliasLookupServiceClient<Outgoing<Channel>>,
    timeout: Duration,
}

impl FunctionalAliasLookupClient {
    /// A client on a channel to the own functional alias management.
    pub fn new(channel: Channel) -> Self {
        let inner = FunctionalAliasLookupServiceClient::new(Outgoing::new(channel));
        Self { inner, timeout: DEFAULT_TIMEOUT }
    }

    /// The same with another limit of time for each call.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// The functional alias, and whether the user is among those who may activate it; `None` where there is no such alias.
    ///
    /// # Errors
    /// [`ClientError`]
    pub async fn get_functional_alias(
        &self,
        alias: &FunctionalAlias,
        user: Option<&McServiceId>,
    ) -> Result<Option<AliasInForce>, ClientError> {
        let mut request = Request::new(proto::FunctionalAliasLookupServiceGetFunctionalAliasRequest {
            functional_alias: alias.to_string(),
            mc_service_id: user.map(ToString::to_string).unwrap_or_default(),
        });
        request.set_timeout(self.timeout);
        match self.inner.clone().get_functional_alias(request).await.map_err(ClientError::from) {
            Ok(answer) => {
                let answer = answer.into_inner();
                let mut violations = Violations::new();
                let found = violations.require("functional_alias", answer.functional_alias);
                let decoded = found.and_then(|found| {
                    let terms = wire::terms(&mut violations, &found)?;
                    let is_allowed_user = answer.is_allowed_user;
                    Some(AliasInForce { terms, etag: found.etag, is_allowed_user })
                });
                violations.finish(decoded).map(Some).map_err(ClientError::Malformed)
            }
            Err(ClientError::Refused(remote)) if remote.reason == "FUNCTIONAL_ALIAS_UNKNOWN" => Ok(None),
            Err(error) => Err(error),
        }
    }
}
