//! A user proves who she is with her password, and her client gets a code. TS 33.180 5.1.2, OpenID Connect Core 3.1.2.

use mcx_store::Transaction;
use mcx_types::{McId, SourceNetwork, Timestamp};
use metrics::counter;
use secrecy::{ExposeSecret, SecretString};
use zeroize::Zeroizing;

use super::App;
use super::randomness::{secret, uuid};
use crate::config::PasswordConfig;
use crate::domain::account::AccountState;
use crate::domain::authorization::AuthorizationRequest;
use crate::domain::grant::{AuthorizationCode, TokenFamily, fingerprint};
use crate::domain::lock_out::locked_until;
use crate::error::Error;
use crate::store::{accounts, clients, grants, logins};

/// What became of a login.
pub(crate) enum Login {
    /// The client gets this code.
    Code(Zeroizing<String>),
    /// There is no such account, it is disabled, or the password is wrong: nobody is told which.
    Refused,
    /// No password counts, not even the right one.
    Locked {
        /// When one will.
        until: Timestamp,
    },
}

impl App {
    /// The client of an authorization request.
    pub(crate) async fn client(
        &self,
        client_id: &str,
    ) -> Result<Option<crate::domain::client::Client>, Error> {
        Ok(clients::find(&self.database, client_id).await?.map(|client| client.value))
    }

    pub(crate) async fn login(
        &self,
        request: &AuthorizationRequest,
        mc_id: &str,
        password: SecretString,
        source: SourceNetwork,
    ) -> Result<Login, Error> {
        let now = self.clock.now();
        let mc_id: Option<McId> = mc_id.parse().ok();
        let name = mc_id.as_ref().map_or("", McId::as_str);
        let source = source.to_string();
        let (here, everywhere) = logins::history(&self.database, name, &source).await?;
        if let Some(until) = locked_until(&here, &everywhere, now) {
            logged_in("locked");
            return Ok(Login::Locked { until });
        }
        let found = match &mc_id {
            Some(mc_id) => accounts::find_with_password(&self.database, mc_id).await?,
            None => None,
        };
        let hash = found.and_then(|(_, hash)| hash);
        // The same work whether there is such an account or not, and the same count of failures.
        let is_right = self.hasher.is_right(password, hash.clone()).await?;

        // Meanwhile others may have been wrong too often, and what the hash was read from may have changed.
        let now = self.clock.now();
        let mut transaction = self.database.begin().await?;
        let (here, everywhere) = logins::hold_history(&mut transaction, name, &source, now).await?;
        if let Some(until) = locked_until(&here, &everywhere, now) {
            logged_in("locked");
            return Ok(Login::Locked { until });
        }
        let held = match &mc_id {
            Some(mc_id) if is_right => accounts::hold_with_password(&mut transaction, mc_id).await?,
            Some(_) | None => None,
        };
        let account = held.filter(|(_, hash_now)| is_same(hash.as_ref(), hash_now.as_ref()));
        let account = account.map(|(account, _)| account.value);
        let account = account.filter(|account| account.terms.state == AccountState::Enabled);
        let Some(account) = account else {
            self.count_failure(&mut transaction, name, &source, now).await?;
            transaction.commit().await?;
            logged_in("refused");
            tracing::info!(source, "login refused");
            return Ok(Login::Refused);
        };
        logins::succeed(&mut transaction, name, &source, now).await?;
        let family = TokenFamily {
            id: uuid(&self.randomness),
            client_id: request.client_id.clone(),
            subject: account.subject.clone(),
            scopes: request.scopes.clone(),
            nonce: request.nonce.clone(),
            authenticated_at: now,
            ends_at: now.saturating_add(self.config.session_lifetime),
            revoked_at: None,
        };
        let code = AuthorizationCode {
            family,
            redirect_uri: request.redirect_uri.clone(),
            code_challenge: request.code_challenge.clone(),
            expires_at: now.saturating_add(self.config.authorization_code_lifetime),
            used_at: None,
        };
        let text = secret(&self.randomness);
        grants::insert_family(&mut transaction, &code.family).await?;
        grants::insert_code(&mut transaction, &fingerprint(&text), &code).await?;
        transaction.commit().await?;
        logged_in("accepted");
        tracing::info!(subject = %account.subject, client_id = request.client_id, source, "user logged in");
        Ok(Login::Code(text))
    }

    async fn count_failure(
        &self,
        transaction: &mut Transaction,
        name: &str,
        source: &str,
        now: Timestamp,
    ) -> Result<(), Error> {
        let passwords: &PasswordConfig = &self.config.passwords;
        let window = i64::try_from(passwords.failure_window.as_micros()).unwrap_or(i64::MAX);
        let forget_before = Timestamp::from_micros(now.as_micros().saturating_sub(window));
        for (source, policy) in
            [(source, passwords.per_source()), (logins::EVERYWHERE, passwords.per_account())]
        {
            let failures = logins::count_failure(transaction, name, source, now, forget_before).await?;
            if let Some(until) = policy.lock_after(failures, now) {
                logins::lock(transaction, name, source, until).await?;
            }
        }
        Ok(())
    }
}

/// Whether the password is still the one that was looked at: each hash has a salt of its own.
fn is_same(hash: Option<&SecretString>, hash_now: Option<&SecretString>) -> bool {
    match (hash, hash_now) {
        (Some(hash), Some(hash_now)) => hash.expose_secret() == hash_now.expose_secret(),
        _ => false,
    }
}

fn logged_in(outcome: &'static str) {
    counter!("mcx_identity_management_logins_total", "outcome" => outcome).increment(1);
}
