//! `mcx.identity.v1.TokenService`.

use mcx_proto::identity::v1 as proto;
use mcx_proto::identity::v1::token_service_server::TokenService;
use mcx_types::Violations;
use mcx_types::wire::mc_service_identities_to_wire;
use secrecy::{ExposeSecret, SecretString};
use tonic::{Request, Response, Status};

use super::refuse;
use crate::app::App;
use crate::app::trust::Extent;
use crate::wire;

/// The most users whose tokens are revoked at once.
const REVOKE_LIMIT: usize = 1_000;

/// Longest token in bytes.
const TOKEN_LIMIT: usize = 16 * 1024;

/// The service.
pub(crate) struct TokenApi(pub(crate) App);

#[tonic::async_trait]
impl TokenService for TokenApi {
    async fn introspect_token(
        &self,
        request: Request<proto::IntrospectTokenRequest>,
    ) -> Result<Response<proto::IntrospectTokenResponse>, Status> {
        let mut violations = Violations::new();
        let token = violations.require("token", request.into_inner().token);
        let token = token.map(|token| SecretString::from(token.value));
        if token.as_ref().is_some_and(|token| !(1..=TOKEN_LIMIT).contains(&token.expose_secret().len())) {
            violations.add("token.value", format_args!("must be 1 to {TOKEN_LIMIT} bytes"));
        }
        let token = violations.finish(token).map_err(refuse)?;
        // What was revoked at another replica a moment ago counts here too.
        self.0.refresh_trust(Extent::Recent).await.map_err(refuse)?;
        let Ok(user) = self.0.verifier.verify(token.expose_secret()) else {
            return Ok(Response::new(proto::IntrospectTokenResponse::default()));
        };
        Ok(Response::new(proto::IntrospectTokenResponse {
            active: true,
            subject: user.subject.into(),
            client_id: user.client_id,
            scopes: user.scopes.iter().map(ToString::to_string).collect(),
            mc_id: user.mc_id.map(Into::into).unwrap_or_default(),
            mc_service_identities: mc_service_identities_to_wire(&user.service_ids),
            primary_mc_system_id: user.visitor_of.map(Into::into).unwrap_or_default(),
            issue_time: wire::time(user.issued_at),
            expire_time: wire::time(user.expires_at),
            token_id: user.token_id,
        }))
    }

    async fn revoke_subjects(
        &self,
        request: Request<proto::RevokeSubjectsRequest>,
    ) -> Result<Response<proto::RevokeSubjectsResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let count = request.subjects.len() + request.migration_ids.len();
        if count == 0 || count > REVOKE_LIMIT {
            violations
                .add("subjects", format_args!("must hold 1 to {REVOKE_LIMIT} users with migration_ids"));
        }
        let subjects: Vec<_> = request
            .subjects
            .iter()
            .enumerate()
            .filter_map(|(index, subject)| violations.parse(format!("subjects[{index}]"), subject))
            .collect();
        let migrations: Vec<_> = request
            .migration_ids
            .iter()
            .enumerate()
            .filter_map(|(index, id)| wire::uuid(&mut violations, format!("migration_ids[{index}]"), id))
            .collect();
        let (subjects, migrations) = violations.finish(Some((subjects, migrations))).map_err(refuse)?;
        let (revoked_at, revoked_count) =
            self.0.revoke_subjects(&subjects, &migrations).await.map_err(refuse)?;
        tracing::info!(revoked_count, request_id = request.request_id, "tokens of users revoked");
        Ok(Response::new(proto::RevokeSubjectsResponse {
            revoke_time: wire::time(revoked_at),
            revoked_count,
        }))
    }
}
