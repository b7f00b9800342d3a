//! What operators do with accounts.

use std::collections::HashMap;

use mcx_proto::identity::v1 as proto;
use mcx_store::idempotency::MutatingRequest;
use mcx_types::{McId, Subject, Timestamp};
use secrecy::SecretString;

use super::App;
use super::mutation::{Begun, begin};
use super::randomness::uuid;
use crate::domain::account::{Account, AccountTerms, ServiceIdentities};
use crate::error::Error;
use crate::store::revocations::Revocations;
use crate::store::{Page, Stored, accounts, logins};
use crate::wire;

/// An account, and until when it is locked.
pub(crate) type Shown = (Stored<Account>, Option<Timestamp>);

impl App {
    pub(crate) async fn create_account(
        &self,
        terms: AccountTerms,
        password: Option<SecretString>,
        request: Option<MutatingRequest>,
    ) -> Result<proto::CreateAccountResponse, Error> {
        let password_hash = self.hashed(password).await?;
        let now = self.clock.now();
        let mut mutation = match begin(&self.database, request, now).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        let subject = self.fresh_subject()?;
        let inserted =
            accounts::insert(&mut mutation.transaction, &subject, &terms, password_hash.as_deref(), now)
                .await;
        let account = match inserted {
            Ok(account) => account,
            Err(error) => {
                mutation.transaction.rollback().await?;
                return Err(self.of_identities(error.into(), None, &terms.service_identities).await);
            }
        };
        let response =
            proto::CreateAccountResponse { account: Some(wire::account::encode(&(account, None))) };
        mutation.commit(&response).await?;
        Ok(response)
    }

    pub(crate) async fn get_account(&self, mc_id: McId) -> Result<Shown, Error> {
        let found = accounts::find(&self.database, &mc_id).await?;
        self.shown(found.ok_or(Error::AccountNotFound(mc_id))?).await
    }

    pub(crate) async fn get_account_of(&self, subject: Subject) -> Result<Shown, Error> {
        let found = accounts::find_by_subject(&self.database, &subject).await?;
        self.shown(found.ok_or(Error::SubjectNotFound(subject))?).await
    }

    pub(crate) async fn list_accounts(&self, after: &str, limit: u32) -> Result<Page<Shown>, Error> {
        let page = accounts::list(&self.database, after, limit).await?;
        Ok(Page { items: self.all_shown(page.items).await?, next_after: page.next_after })
    }

    pub(crate) async fn update_account(
        &self,
        terms: AccountTerms,
        version: i64,
        request: Option<MutatingRequest>,
    ) -> Result<proto::UpdateAccountResponse, Error> {
        let now = self.clock.now();
        let mut mutation = match begin(&self.database, request, now).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        let transaction = &mut mutation.transaction;
        let before = accounts::hold_to_change(transaction, &terms.mc_id).await?;
        let before = before.ok_or_else(|| Error::AccountNotFound(terms.mc_id.clone()))?;
        let account = match accounts::update(transaction, &terms, version, now).await {
            Ok(Some(account)) => account,
            Ok(None) => return Err(Error::EtagMismatch),
            Err(error) => {
                mutation.transaction.rollback().await?;
                let subject = Some(&before.value.subject);
                return Err(self.of_identities(error.into(), subject, &terms.service_identities).await);
            }
        };
        let tokens_are_void = before.value.terms.tokens_are_void_under(&terms);
        let mut revoked = Revocations::default();
        if tokens_are_void {
            self.revoke_subject_in(transaction, &account.value.subject, &mut revoked).await?;
        }
        let response =
            proto::UpdateAccountResponse { account: Some(wire::account::encode(&(account, None))) };
        mutation.commit(&response).await?;
        self.tokens_revoked(revoked).await;
        Ok(response)
    }

    pub(crate) async fn delete_account(
        &self,
        mc_id: McId,
        version: Option<i64>,
        request: Option<MutatingRequest>,
    ) -> Result<proto::DeleteAccountResponse, Error> {
        let mut mutation = match begin(&self.database, request, self.clock.now()).await? {
            Begun::Answered(response) => return Ok(response),
            Begun::Granted(mutation) => mutation,
        };
        let transaction = &mut mutation.transaction;
        let Some(subject) = accounts::delete(transaction, &mc_id, version).await? else {
            let exists = accounts::find_in(transaction, &mc_id).await?.is_some();
            return Err(if exists { Error::EtagMismatch } else { Error::AccountNotFound(mc_id) });
        };
        let mut revoked = Revocations::default();
        self.revoke_subject_in(transaction, &subject, &mut revoked).await?;
        let response = proto::DeleteAccountResponse {};
        mutation.commit(&response).await?;
        self.tokens_revoked(revoked).await;
        Ok(response)
    }

    pub(crate) async fn set_password(&self, mc_id: McId, password: SecretString) -> Result<(), Error> {
        let password_hash = self.hasher.hash(password).await?;
        let mut transaction = self.database.begin().await?;
        let subject =
            accounts::set_password(&mut transaction, &mc_id, &password_hash, self.clock.now()).await?;
        let subject = subject.ok_or_else(|| Error::AccountNotFound(mc_id.clone()))?;
        let mut revoked = Revocations::default();
        self.revoke_subject_in(&mut transaction, &subject, &mut revoked).await?;
        transaction.commit().await?;
        logins::unlock(&self.database, mc_id.as_str()).await?;
        self.tokens_revoked(revoked).await;
        Ok(())
    }

    pub(crate) async fn unlock_account(&self, mc_id: McId) -> Result<(), Error> {
        if accounts::find(&self.database, &mc_id).await?.is_none() {
            return Err(Error::AccountNotFound(mc_id));
        }
        Ok(logins::unlock(&self.database, mc_id.as_str()).await?)
    }

    /// The accounts that there are, and the MC IDs that no account has, each in the order of the request.
    pub(crate) async fn resolve_accounts(&self, mc_ids: Vec<McId>) -> Result<(Vec<Shown>, Vec<McId>), Error> {
        let found = accounts::find_all(&self.database, &mc_ids).await?;
        let mut found: HashMap<McId, Stored<Account>> =
            found.into_iter().map(|account| (account.value.terms.mc_id.clone(), account)).collect();
        let (mut accounts, mut unknown) = (Vec::new(), Vec::new());
        for mc_id in mc_ids {
            match found.remove(&mc_id) {
                Some(account) => accounts.push(account),
                None => unknown.push(mc_id),
            }
        }
        Ok((self.all_shown(accounts).await?, unknown))
    }

    pub(crate) fn fresh_subject(&self) -> Result<Subject, Error> {
        let subject = uuid(&self.randomness).to_string().parse();
        subject.map_err(|error| Error::Internal(format!("a uuid is no subject: {error}")))
    }

    pub(crate) async fn hashed(&self, password: Option<SecretString>) -> Result<Option<String>, Error> {
        match password {
            Some(password) => self.hasher.hash(password).await.map(Some),
            None => Ok(None),
        }
    }

    /// Says which MC service ID is taken, where that is what the store refused.
    pub(crate) async fn of_identities(
        &self,
        error: Error,
        subject: Option<&Subject>,
        identities: &ServiceIdentities,
    ) -> Error {
        match error {
            Error::IdentityTaken { constraint, .. } if constraint == "mc_service_identity_pkey" => {
                match accounts::taken_by_others(&self.database, subject, identities).await {
                    Ok(taken) => {
                        Error::IdentityTaken { constraint, mc_service_id: taken.map(|(_, taken)| taken) }
                    }
                    Err(error) => error.into(),
                }
            }
            other => other,
        }
    }

    async fn shown(&self, account: Stored<Account>) -> Result<Shown, Error> {
        let mut shown = self.all_shown(vec![account]).await?;
        shown.pop().ok_or_else(|| Error::Internal("an account is not shown".to_owned()))
    }

    async fn all_shown(&self, accounts: Vec<Stored<Account>>) -> Result<Vec<Shown>, Error> {
        let mc_ids = accounts.iter().map(|account| account.value.terms.mc_id.to_string());
        let locks = logins::locks(&self.database, mc_ids, self.clock.now()).await?;
        let locks: HashMap<String, Timestamp> = locks.into_iter().collect();
        let shown = accounts.into_iter().map(|account| {
            let lock = locks.get(account.value.terms.mc_id.as_str()).copied();
            (account, lock)
        });
        Ok(shown.collect())
    }
}
