//! `mcx.sipdatabase.v1.SipAuthenticationService`.

use std::sync::Arc;

use mcx_proto::sipdatabase::v1::sip_authentication_service_server::SipAuthenticationService;
use mcx_proto::sipdatabase::v1::{
    GetSipAuthenticationInformationRequest, GetSipAuthenticationInformationResponse, ResynchroniseRequest,
    ResynchroniseResponse,
};
use mcx_runtime::CallContext;
use mcx_types::wire::SynchronisationFailure;
use mcx_types::{McSystemId, Violations};
use tonic::{Request, Response, Status};
use tracing::{Instrument, Span, field};

use super::refused;
use super::request::requesting_mc_system_id;
use crate::app::App;
use crate::domain::requester::{Requester, decide_requester};
use crate::domain::subscriber::VectorRequest;
use crate::error::SipDatabaseError;

/// The most vectors of one request.
const VECTOR_LIMIT: u32 = 5;

#[derive(Clone)]
pub(crate) struct SipAuthenticationApi {
    app: Arc<App>,
}

impl SipAuthenticationApi {
    pub(crate) fn new(app: Arc<App>) -> Self {
        Self { app }
    }

    async fn make(
        &self,
        context: &CallContext,
        message: GetSipAuthenticationInformationRequest,
    ) -> Result<GetSipAuthenticationInformationResponse, SipDatabaseError> {
        let (requesting, request, count) = decode_get(message, self.app.own_system())?;
        let requester = decide_requester(&context.caller, self.app.own_system(), requesting)?;
        mark_step_5(&requester);
        let made = self.app.authentication_information(&requester, &request, count).await?;
        Ok(GetSipAuthenticationInformationResponse {
            identities: Some(request.identities.into()),
            authentication_information: Some(made.into()),
        })
    }

    async fn heal(
        &self,
        context: &CallContext,
        message: ResynchroniseRequest,
    ) -> Result<ResynchroniseResponse, SipDatabaseError> {
        let (requesting, request, failure) = decode_resynchronise(message)?;
        let requester = decide_requester(&context.caller, self.app.own_system(), requesting)?;
        mark_step_5(&requester);
        let made = self.app.resynchronise(&requester, &request, failure).await?;
        Ok(ResynchroniseResponse {
            identities: Some(request.identities.into()),
            authentication_information: Some(made.into()),
        })
    }
}

#[tonic::async_trait]
impl SipAuthenticationService for SipAuthenticationApi {
    async fn get_sip_authentication_information(
        &self,
        request: Request<GetSipAuthenticationInformationRequest>,
    ) -> Result<Response<GetSipAuthenticationInformationResponse>, Status> {
        let context = CallContext::of(&request)?;
        let made =
            self.make(&context, request.into_inner()).instrument(span("get authentication information"));
        made.await.map(Response::new).map_err(|error| refused(&error))
    }

    async fn resynchronise(
        &self,
        request: Request<ResynchroniseRequest>,
    ) -> Result<Response<ResynchroniseResponse>, Status> {
        let context = CallContext::of(&request)?;
        let healed = self.heal(&context, request.into_inner()).instrument(span("resynchronise"));
        healed.await.map(Response::new).map_err(|error| refused(&error))
    }
}

fn span(name: &'static str) -> Span {
    tracing::info_span!("sip database", otel.name = name, mcx.clause = field::Empty, mcx.step = field::Empty)
}

/// What the migration management server asks for is step 5 of the figure; own registrations are no migration.
fn mark_step_5(requester: &Requester) {
    if let Requester::Partner(_) = requester {
        Span::current().record("mcx.clause", "10.1.6.2").record("mcx.step", "5");
    }
}

type DecodedGet = (Option<McSystemId>, VectorRequest, u32);

fn decode_get(
    message: GetSipAuthenticationInformationRequest,
    own_system: &McSystemId,
) -> Result<DecodedGet, Violations> {
    let mut violations = Violations::new();
    let identities = violations.sip_identities("identities", message.identities);
    let scheme = violations.scheme("scheme", message.scheme);
    let requesting = requesting_mc_system_id(&mut violations, &message.requesting_mc_system_id);
    let is_for_partner = requesting
        .as_ref()
        .is_some_and(|requesting| requesting.as_ref().is_some_and(|requesting| requesting != own_system));
    let count = message.vector_count.max(1);
    if count > VECTOR_LIMIT {
        violations.add("vector_count", format_args!("must be 0 to {VECTOR_LIMIT}"));
    } else if is_for_partner && count > 1 {
        // One vector per request across systems (TS 33.102 C.3.4; TS 23.280 10.1.6.2).
        violations.add("vector_count", "must be 0 or 1 on behalf of another mc system");
    }
    let request = identities.zip(scheme).map(|(identities, scheme)| VectorRequest { identities, scheme });
    violations.finish(requesting.zip(request).map(|(requesting, request)| (requesting, request, count)))
}

type DecodedResynchronise = (Option<McSystemId>, VectorRequest, SynchronisationFailure);

fn decode_resynchronise(message: ResynchroniseRequest) -> Result<DecodedResynchronise, Violations> {
    let mut violations = Violations::new();
    let identities = violations.sip_identities("identities", message.identities);
    let requesting = requesting_mc_system_id(&mut violations, &message.requesting_mc_system_id);
    let failure =
        violations.synchronisation_failure("synchronisation_failure", message.synchronisation_failure);
    let request = identities.map(|identities| VectorRequest { identities, scheme: None });
    let decoded = requesting.zip(request).zip(failure);
    violations.finish(decoded.map(|((requesting, request), failure)| (requesting, request, failure)))
}
