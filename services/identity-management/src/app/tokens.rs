//! The token endpoint: who asks, and what codes and refresh tokens become. RFC 6749 3.2, 4.1.3, 6.

use mcx_federation::access_token::Scope;
use mcx_store::{StoreError, Transaction};
use mcx_types::Subject;
use metrics::counter;
use secrecy::SecretString;

use super::App;
use super::issuing::{Issued, usable};
use crate::domain::account::Holder;
use crate::domain::client::{Client, ClientAuthentication};
use crate::domain::grant::{GrantRefusal, TokenFamily, fingerprint};
use crate::domain::scopes::Scopes;
use crate::error::Error;
use crate::store::revocations::Revocations;
use crate::store::{Hold, accounts, clients, grants, migrations};

/// What a client is told of a code that is worth nothing, whatever the cause.
pub(crate) const CODE_REFUSED: &str = "the authorization code is not valid";
/// What a client is told of a refresh token that is worth nothing, whatever the cause.
pub(crate) const REFRESH_REFUSED: &str = "the refresh token is not valid";
/// What a client is told that wants more by a refresh token than it got with it.
const SCOPE_NOT_GRANTED: &str = "a scope was not granted before";

/// Why the token endpoint issues nothing: RFC 6749 5.2, RFC 8693 2.2.2.
#[derive(Debug, Clone)]
pub(crate) enum TokenError {
    /// `invalid_request`
    InvalidRequest(&'static str),
    /// `invalid_client`
    InvalidClient,
    /// `invalid_grant`, with the one description of its kind of grant.
    InvalidGrant(&'static str),
    /// `unsupported_grant_type`
    UnsupportedGrantType,
    /// `invalid_scope`, with the one description of its kind of grant.
    InvalidScope(&'static str),
    /// `invalid_target`
    InvalidTarget,
    /// Something of ours is away or broken.
    Fault(Error),
}

impl From<Error> for TokenError {
    fn from(error: Error) -> Self {
        Self::Fault(error)
    }
}

impl From<StoreError> for TokenError {
    fn from(error: StoreError) -> Self {
        Self::Fault(error.into())
    }
}

/// A client that has proved who it is, as far as it can.
#[derive(Debug, Clone)]
pub(crate) struct Authenticated {
    pub(crate) client_id: String,
    pub(crate) scopes: Scopes,
}

/// What a client shows to prove who it is.
pub(crate) enum ClientProof {
    /// Nothing but its name.
    Name(String),
    /// Its secret, in HTTP basic authentication.
    Basic(String, SecretString),
}

impl App {
    /// Finds out which client asks.
    pub(crate) async fn authenticate_client(&self, proof: ClientProof) -> Result<Authenticated, TokenError> {
        let (client_id, secret) = match proof {
            ClientProof::Name(client_id) => (client_id, None),
            ClientProof::Basic(client_id, secret) => (client_id, Some(secret)),
        };
        let found = clients::find_with_secret(&self.database, &client_id).await?;
        let (client, hash) = found.map_or((None, None), |(client, hash)| (Some(client), hash));
        let wanted = client.as_ref().map(|client| client.authentication);
        let is_proved = match (wanted, secret) {
            (Some(ClientAuthentication::None), None) => true,
            // Whoever shows a secret waits as long whether there is such a client or not.
            (_, Some(secret)) => self.hasher.is_right(secret, hash).await?,
            (_, None) => false,
        };
        match client {
            Some(Client { client_id, scopes, .. }) if is_proved => Ok(Authenticated { client_id, scopes }),
            _ => {
                tracing::info!(client_id, "oauth client refused");
                Err(TokenError::InvalidClient)
            }
        }
    }

    /// A code becomes tokens. One that is used a second time revokes what the first use gave.
    pub(crate) async fn redeem_code(
        &self,
        client: &Authenticated,
        code: &str,
        redirect_uri: &str,
        verifier: &str,
    ) -> Result<Issued, TokenError> {
        let now = self.clock.now();
        let mut transaction = self.database.begin().await?;
        let code = grants::use_code(&mut transaction, &fingerprint(code), now).await?;
        let Some(code) = code else { return Err(refused("code", client, GrantRefusal::Unknown)) };
        match code.check(&client.client_id, redirect_uri, verifier, now) {
            Ok(()) => {}
            Err(GrantRefusal::Replayed) => {
                return self.replayed("code", transaction, client, &code.family).await;
            }
            Err(refusal) => return Err(refused("code", client, refusal)),
        }
        let scopes = code.family.scopes.clone();
        let issued = self.issue_for(&mut transaction, "code", client, &code.family, scopes).await?;
        transaction.commit().await?;
        Ok(issued)
    }

    /// A refresh token becomes new tokens, one of them its successor. One that is used a second time revokes all of them.
    pub(crate) async fn refresh(
        &self,
        client: &Authenticated,
        token: &str,
        requested: Option<&str>,
    ) -> Result<Issued, TokenError> {
        let now = self.clock.now();
        let mut transaction = self.database.begin().await?;
        let token = grants::use_refresh_token(&mut transaction, &fingerprint(token), now).await?;
        let Some(token) = token else { return Err(refused("refresh", client, GrantRefusal::Unknown)) };
        match token.check(&client.client_id, now) {
            Ok(()) => {}
            Err(GrantRefusal::Replayed) => {
                return self.replayed("refresh", transaction, client, &token.family).await;
            }
            Err(refusal) => return Err(refused("refresh", client, refusal)),
        }
        let mut scopes = token.family.scopes.clone();
        if let Some(requested) = requested {
            let requested = Scopes::requested(requested);
            if !requested.is_subset_of(&scopes) {
                return Err(TokenError::InvalidScope(SCOPE_NOT_GRANTED));
            }
            scopes = requested;
        }
        let issued = self.issue_for(&mut transaction, "refresh", client, &token.family, scopes).await?;
        transaction.commit().await?;
        Ok(issued)
    }

    /// Issues tokens to the user of a family as she is now: what an operator changed since she logged in counts.
    async fn issue_for(
        &self,
        transaction: &mut Transaction,
        grant: &'static str,
        client: &Authenticated,
        family: &TokenFamily,
        scopes: Scopes,
    ) -> Result<Issued, TokenError> {
        // Now, and until the tokens are stored: a revocation waits, or was waited for.
        let holder = self.held(transaction, &family.subject, Hold::ToIssue).await?;
        let family = grants::hold_family(transaction, family.id).await?;
        let Some(family) = family.filter(|family| family.revoked_at.is_none()) else {
            return Err(refused(grant, client, GrantRefusal::Revoked));
        };
        let holder = holder.filter(|holder| holder.is_admitted_at(self.clock.now()));
        let Some(holder) = holder else {
            return Err(refused(grant, client, GrantRefusal::UserNotAdmitted));
        };
        let scopes = scopes.granted_out_of(&client.scopes).granted_out_of(holder.scopes());
        let scopes = match &holder {
            Holder::Own(_) => scopes,
            Holder::Visitor(visitor) => {
                let trust =
                    crate::store::partner_trusts::find_in(transaction, &visitor.terms.primary).await?;
                let allowed = trust.map(|trust| trust.value.allowed_scopes).unwrap_or_default();
                scopes.granted_out_of(&allowed)
            }
        };
        let scopes = usable(&scopes, holder.service_identities());
        if scopes.is_empty() {
            return Err(refused(grant, client, GrantRefusal::NoScope));
        }
        Ok(self.issue(transaction, &family, &holder, scopes).await?)
    }

    /// Who a subject is now.
    pub(crate) async fn holder(
        &self,
        transaction: &mut Transaction,
        subject: &Subject,
    ) -> Result<Option<Holder>, Error> {
        if let Some(account) = accounts::find_by_subject_in(transaction, subject).await? {
            return Ok(Some(Holder::Own(account.value)));
        }
        Ok(migrations::find_visitor_by_subject(transaction, subject).await?.map(Holder::Visitor))
    }

    /// Who a subject is until the transaction ends.
    pub(crate) async fn held(
        &self,
        transaction: &mut Transaction,
        subject: &Subject,
        hold: Hold,
    ) -> Result<Option<Holder>, Error> {
        if let Some(account) = accounts::hold_by_subject(transaction, subject, hold).await? {
            return Ok(Some(Holder::Own(account.value)));
        }
        let visitor = migrations::hold_visitor_by_subject(transaction, subject, hold).await?;
        Ok(visitor.map(Holder::Visitor))
    }

    async fn replayed<T>(
        &self,
        grant: &'static str,
        mut transaction: Transaction,
        client: &Authenticated,
        family: &TokenFamily,
    ) -> Result<T, TokenError> {
        let tokens = grants::revoke_family(&mut transaction, family.id, self.clock.now()).await?;
        transaction.commit().await?;
        tracing::warn!(
            grant, client_id = client.client_id, subject = %family.subject, family_id = %family.id,
            "used a second time: all tokens of this login are revoked"
        );
        self.tokens_revoked(Revocations { tokens, ..Default::default() }).await;
        Err(refused(grant, client, GrantRefusal::Replayed))
    }

    /// What `userinfo` tells (OpenID Connect Core 5.3); `None`: the token is good for nothing here.
    pub(crate) fn user_information(
        &self,
        token: &str,
    ) -> Result<mcx_federation::access_token::AuthenticatedUser, UserInfoRefusal> {
        let user = self.verifier.verify(token).map_err(|refusal| {
            tracing::debug!(%refusal, "access token refused");
            UserInfoRefusal::InvalidToken
        })?;
        if !user.scopes.contains(&Scope::OpenId) {
            return Err(UserInfoRefusal::InsufficientScope);
        }
        Ok(user)
    }
}

/// Why `userinfo` tells nothing, RFC 6750 3.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UserInfoRefusal {
    InvalidToken,
    InsufficientScope,
}

/// Tells the log why, and the client only that.
fn refused(grant: &'static str, client: &Authenticated, refusal: GrantRefusal) -> TokenError {
    tracing::info!(grant, client_id = client.client_id, cause = %refusal, "grant refused");
    counter!("mcx_identity_management_grants_refused_total", "grant" => grant).increment(1);
    TokenError::InvalidGrant(if grant == "code" { CODE_REFUSED } else { REFRESH_REFUSED })
}
