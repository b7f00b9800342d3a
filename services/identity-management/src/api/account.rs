//! `mcx.identity.v1.AccountService`.

use futures::StreamExt;
use mcx_proto::identity::v1 as proto;
use mcx_proto::identity::v1::account_service_server::AccountService;
use mcx_proto::identity::v1::get_account_request::Key;
use mcx_types::Violations;
use tonic::{Request, Response, Status, Streaming};

use super::{StreamError, mutating_request, refuse};
use crate::app::App;
use crate::wire;

/// The most MC IDs that are resolved at once.
const RESOLVE_LIMIT: usize = 1_000;

/// The service.
pub(crate) struct AccountApi(pub(crate) App);

#[tonic::async_trait]
impl AccountService for AccountApi {
    async fn create_account(
        &self,
        request: Request<proto::CreateAccountRequest>,
    ) -> Result<Response<proto::CreateAccountResponse>, Status> {
        let mut request = request.into_inner();
        let password = request.password.take();
        let mut violations = Violations::new();
        let id = mutating_request(&mut violations, "CreateAccount", &request.request_id, &request);
        let terms = wire::account::decode(&mut violations, request.account.as_ref());
        let mc_id = request.account.map(|account| account.mc_id).unwrap_or_default();
        let password = wire::account::optional_password(&mut violations, password, &mc_id);
        let ((id, terms), password) = violations.finish(id.zip(terms).zip(password)).map_err(refuse)?;
        self.0.create_account(terms, password, id).await.map(Response::new).map_err(refuse)
    }

    async fn get_account(
        &self,
        request: Request<proto::GetAccountRequest>,
    ) -> Result<Response<proto::GetAccountResponse>, Status> {
        let mut violations = Violations::new();
        let account = match violations.require("key", request.into_inner().key) {
            Some(Key::McId(mc_id)) => {
                let mc_id = violations.parse("mc_id", &mc_id);
                let mc_id = violations.finish(mc_id).map_err(refuse)?;
                self.0.get_account(mc_id).await
            }
            Some(Key::Subject(subject)) => {
                let subject = violations.parse("subject", &subject);
                let subject = violations.finish(subject).map_err(refuse)?;
                self.0.get_account_of(subject).await
            }
            None => return Err(refuse(violations)),
        };
        let account = account.map_err(refuse)?;
        Ok(Response::new(proto::GetAccountResponse { account: Some(wire::account::encode(&account)) }))
    }

    async fn list_accounts(
        &self,
        request: Request<proto::ListAccountsRequest>,
    ) -> Result<Response<proto::ListAccountsResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let limit = wire::page_size(&mut violations, request.page_size);
        let limit = violations.finish(limit).map_err(refuse)?;
        let page = self.0.list_accounts(&request.page_token, limit).await.map_err(refuse)?;
        Ok(Response::new(proto::ListAccountsResponse {
            accounts: page.items.iter().map(wire::account::encode).collect(),
            next_page_token: page.next_after.unwrap_or_default(),
        }))
    }

    async fn update_account(
        &self,
        request: Request<proto::UpdateAccountRequest>,
    ) -> Result<Response<proto::UpdateAccountResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let id = mutating_request(&mut violations, "UpdateAccount", &request.request_id, &request);
        let terms = wire::account::decode(&mut violations, request.account.as_ref());
        let version = request
            .account
            .as_ref()
            .and_then(|account| wire::version(&mut violations, "account.etag", &account.etag));
        let ((id, terms), version) = violations.finish(id.zip(terms).zip(version)).map_err(refuse)?;
        self.0.update_account(terms, version, id).await.map(Response::new).map_err(refuse)
    }

    async fn delete_account(
        &self,
        request: Request<proto::DeleteAccountRequest>,
    ) -> Result<Response<proto::DeleteAccountResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let id = mutating_request(&mut violations, "DeleteAccount", &request.request_id, &request);
        let mc_id = violations.parse("mc_id", &request.mc_id);
        let version = wire::optional_version(&mut violations, "etag", &request.etag);
        let ((id, mc_id), version) = violations.finish(id.zip(mc_id).zip(version)).map_err(refuse)?;
        self.0.delete_account(mc_id, version, id).await.map(Response::new).map_err(refuse)
    }

    async fn import_accounts(
        &self,
        request: Request<Streaming<proto::ImportAccountsRequest>>,
    ) -> Result<Response<proto::ImportAccountsResponse>, Status> {
        let items = request.into_inner().map(|item| {
            let mut item = item.map_err(StreamError::Stream)?;
            let mut violations = Violations::new();
            let terms = wire::account::decode(&mut violations, item.account.as_ref());
            let mc_id = item.account.map(|account| account.mc_id).unwrap_or_default();
            let password = wire::account::optional_password(&mut violations, item.password.take(), &mc_id);
            Ok::<_, StreamError>(violations.finish(terms.zip(password)))
        });
        let outcome = self.0.import_accounts(items).await?;
        Ok(Response::new(proto::ImportAccountsResponse {
            created_count: outcome.created,
            unchanged_count: outcome.unchanged,
            refused_count: outcome.refused,
            refusals: outcome
                .refusals
                .into_iter()
                .map(|refusal| proto::ImportAccountsRefusal {
                    index: refusal.index,
                    reason: refusal.reason.into(),
                    description: refusal.description,
                })
                .collect(),
        }))
    }

    async fn set_password(
        &self,
        request: Request<proto::SetPasswordRequest>,
    ) -> Result<Response<proto::SetPasswordResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        let mc_id = violations.parse("mc_id", &request.mc_id);
        let password = wire::account::password(&mut violations, request.password, &request.mc_id);
        let (mc_id, password) = violations.finish(mc_id.zip(password)).map_err(refuse)?;
        self.0.set_password(mc_id, password).await.map_err(refuse)?;
        Ok(Response::new(proto::SetPasswordResponse {}))
    }

    async fn unlock_account(
        &self,
        request: Request<proto::UnlockAccountRequest>,
    ) -> Result<Response<proto::UnlockAccountResponse>, Status> {
        let mut violations = Violations::new();
        let mc_id = violations.parse("mc_id", &request.into_inner().mc_id);
        let mc_id = violations.finish(mc_id).map_err(refuse)?;
        self.0.unlock_account(mc_id).await.map_err(refuse)?;
        Ok(Response::new(proto::UnlockAccountResponse {}))
    }

    async fn resolve_accounts(
        &self,
        request: Request<proto::ResolveAccountsRequest>,
    ) -> Result<Response<proto::ResolveAccountsResponse>, Status> {
        let request = request.into_inner();
        let mut violations = Violations::new();
        if request.mc_ids.is_empty() || request.mc_ids.len() > RESOLVE_LIMIT {
            violations.add("mc_ids", format_args!("must hold 1 to {RESOLVE_LIMIT} mc ids"));
        }
        let mc_ids = request
            .mc_ids
            .iter()
            .enumerate()
            .filter_map(|(index, mc_id)| violations.parse(format!("mc_ids[{index}]"), mc_id))
            .collect();
        let mc_ids = violations.finish(Some(mc_ids)).map_err(refuse)?;
        let (accounts, unknown) = self.0.resolve_accounts(mc_ids).await.map_err(refuse)?;
        Ok(Response::new(proto::ResolveAccountsResponse {
            accounts: accounts.iter().map(wire::account::encode).collect(),
            unknown_mc_ids: unknown.into_iter().map(String::from).collect(),
        }))
    }
}
