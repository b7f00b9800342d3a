//! What operators do with OAuth clients.

use mcx_proto::identity::v1 as proto;
use mcx_store::idempotency::MutatingRequest;
use mcx_types::Violations;
use secrecy::SecretString;

use super::App;
use super::mutation::{Begun, begin};
use crate::domain::client::{Client, ClientAuthentication};
use crate::error::Error;
use crate::store::{Page, Stored, clients};
use crate::wire;

impl App {
    pub(crate) async fn create_client(
        &self,
        client: Client,
        secret: Option<SecretString>,
        request: Option<MutatingRequest>,
    ) -> Result<proto::CreateClientResponse, Error> {
        let secret_hash = self.hashed(secret).await?;
        let now = self.clock.now();
        let mut mutation = match begin(&self.database, request, now).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        let client = clients::insert(&mut mutation.transaction, &client, secret_hash.as_deref(), now).await?;
        let response = proto::CreateClientResponse { client: Some(wire::client::encode(&client)) };
        mutation.commit(&response).await?;
        Ok(response)
    }

    pub(crate) async fn get_client(&self, client_id: String) -> Result<Stored<Client>, Error> {
        clients::find(&self.database, &client_id).await?.ok_or(Error::ClientNotFound(client_id))
    }

    pub(crate) async fn list_clients(&self, after: &str, limit: u32) -> Result<Page<Stored<Client>>, Error> {
        Ok(clients::list(&self.database, after, limit).await?)
    }

    pub(crate) async fn update_client(
        &self,
        client: Client,
        secret: Option<SecretString>,
        version: i64,
        request: Option<MutatingRequest>,
    ) -> Result<proto::UpdateClientResponse, Error> {
        let secret_hash = self.hashed(secret).await?;
        let now = self.clock.now();
        let mut mutation = match begin(&self.database, request, now).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        let transaction = &mut mutation.transaction;
        let present = clients::find_in(transaction, &client.client_id).await?;
        let (_, has_secret) = present.ok_or_else(|| Error::ClientNotFound(client.client_id.clone()))?;
        let needs_secret = client.authentication == ClientAuthentication::SecretBasic;
        if needs_secret && !has_secret && secret_hash.is_none() {
            let mut violations = Violations::new();
            violations.add("secret", "is required where the client has none yet");
            return Err(violations.into());
        }
        let updated = clients::update(transaction, &client, secret_hash.as_deref(), version, now).await?;
        let updated = updated.ok_or(Error::EtagMismatch)?;
        let response = proto::UpdateClientResponse { client: Some(wire::client::encode(&updated)) };
        mutation.commit(&response).await?;
        Ok(response)
    }

    pub(crate) async fn delete_client(
        &self,
        client_id: String,
        version: Option<i64>,
        request: Option<MutatingRequest>,
    ) -> Result<proto::DeleteClientResponse, Error> {
        let mut mutation = match begin(&self.database, request, self.clock.now()).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        let transaction = &mut mutation.transaction;
        if !clients::delete(transaction, &client_id, version).await? {
            let exists = clients::find_in(transaction, &client_id).await?.is_some();
            return Err(if exists { Error::EtagMismatch } else { Error::ClientNotFound(client_id) });
        }
        let response = proto::DeleteClientResponse {};
        mutation.commit(&response).await?;
        Ok(response)
    }
}
