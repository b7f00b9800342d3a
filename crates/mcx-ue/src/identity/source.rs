//! Tokens that stay fresh.

use std::sync::Arc;
use std::time::Duration;

use mcx_types::Clock;
use secrecy::SecretString;
use tokio::sync::Mutex;

use super::{IdentityError, IdentityManagementClient, TokenSet};

/// How long before its end an access token is replaced: a call that begins now must not see it end on the way.
const MARGIN: Duration = Duration::from_secs(30);

/// Hears of every new set of tokens before it is used, so that it can be stored: a refresh token may count once only.
pub(crate) type TokenKeeper = Box<dyn Fn(&TokenSet) + Send + Sync>;

/// How tokens of a partner are got: through those of the primary (TS 33.180 5.1.4).
#[derive(Clone)]
pub struct PartnerLogin {
    /// The user's tokens in her primary MC system.
    pub primary: TokenSource,
    /// The partner's token endpoint, to which the security token is made out.
    pub resource: String,
    /// The scopes wanted there.
    pub scopes: Vec<String>,
}

impl PartnerLogin {
    /// Obtains a security token from the primary and hands it in at the partner. Whose refusal an error is: see
    /// [`PartnerLoginFailure`].
    pub(crate) async fn log_in(
        &self,
        partner: &IdentityManagementClient,
    ) -> Result<TokenSet, PartnerLoginFailure> {
        let access_token = self.primary.access_token().await.map_err(PartnerLoginFailure::AtPrimary)?;
        let security_token = self
            .primary
            .client()
            .exchange(&access_token, &self.resource)
            .await
            .map_err(PartnerLoginFailure::AtPrimary)?;
        partner.redeem(security_token, &self.scopes).await.map_err(PartnerLoginFailure::AtPartner)
    }
}

/// Which of the two identity management servers did not do its part.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PartnerLoginFailure {
    #[error(transparent)]
    AtPrimary(IdentityError),
    #[error(transparent)]
    AtPartner(IdentityError),
}

impl PartnerLoginFailure {
    fn into_inner(self) -> IdentityError {
        match self {
            Self::AtPrimary(error) | Self::AtPartner(error) => error,
        }
    }
}

/// The tokens of one user from one identity management server, renewed before they end. Clones share them.
#[derive(Clone)]
pub struct TokenSource {
    shared: Arc<Shared>,
}

struct Shared {
    client: IdentityManagementClient,
    login: Option<PartnerLogin>,
    clock: Arc<dyn Clock>,
    keeper: Option<TokenKeeper>,
    // Held during a renewal, so that there is one at a time.
    tokens: Mutex<TokenSet>,
}

impl TokenSource {
    /// A source of the tokens that `client` gave. With `login`, they are got anew when they cannot be refreshed.
    pub fn new(
        client: IdentityManagementClient,
        tokens: TokenSet,
        login: Option<PartnerLogin>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self::keeping(client, tokens, login, clock, None)
    }

    pub(crate) fn keeping(
        client: IdentityManagementClient,
        tokens: TokenSet,
        login: Option<PartnerLogin>,
        clock: Arc<dyn Clock>,
        keeper: Option<TokenKeeper>,
    ) -> Self {
        let tokens = Mutex::new(tokens);
        Self { shared: Arc::new(Shared { client, login, clock, keeper, tokens }) }
    }

    /// The client that the tokens are from.
    #[must_use]
    pub fn client(&self) -> &IdentityManagementClient {
        &self.shared.client
    }

    /// The tokens as they are now.
    pub async fn tokens(&self) -> TokenSet {
        self.shared.tokens.lock().await.clone()
    }

    /// An access token that is good for a while.
    ///
    /// # Errors
    /// [`IdentityError`] where there is none; [`IdentityError::LoginRequired`] where only the user can help.
    pub async fn access_token(&self) -> Result<SecretString, IdentityError> {
        let mut tokens = self.shared.tokens.lock().await;
        let now = self.shared.clock.now();
        if tokens.expires_at > now.saturating_add(MARGIN) {
            return Ok(tokens.access_token.clone());
        }
        match self.renewed(&tokens).await {
            Ok(renewed) => self.accept(&mut tokens, renewed),
            // What there is still counts, for now.
            Err(error) if error.may_pass() && tokens.expires_at > now => {
                tracing::warn!(%error, "access token is not renewed yet");
            }
            Err(error) => return Err(error),
        }
        Ok(tokens.access_token.clone())
    }

    /// Replaces an access token that a server did not take; unless that was done meanwhile.
    ///
    /// # Errors
    /// As [`TokenSource::access_token`].
    pub async fn replace(&self, refused: &SecretString) -> Result<SecretString, IdentityError> {
        use secrecy::ExposeSecret;
        let mut tokens = self.shared.tokens.lock().await;
        if tokens.access_token.expose_secret() == refused.expose_secret() {
            let renewed = self.renewed(&tokens).await?;
            self.accept(&mut tokens, renewed);
        }
        Ok(tokens.access_token.clone())
    }

    fn accept(&self, tokens: &mut TokenSet, renewed: TokenSet) {
        *tokens = renewed.succeeding(tokens);
        if let Some(keeper) = &self.shared.keeper {
            keeper(tokens);
        }
    }

    async fn renewed(&self, tokens: &TokenSet) -> Result<TokenSet, IdentityError> {
        let shared = &self.shared;
        if let Some(refresh_token) = &tokens.refresh_token {
            match shared.client.refresh(refresh_token).await {
                Err(IdentityError::InvalidGrant { description }) => {
                    tracing::info!(description, "the refresh token no longer counts");
                }
                renewed => return renewed,
            }
        }
        match &shared.login {
            // A future that calls itself, through the source of the primary, has to be boxed.
            Some(login) => {
                Box::pin(login.log_in(&shared.client)).await.map_err(PartnerLoginFailure::into_inner)
            }
            None => Err(IdentityError::LoginRequired),
        }
    }
}
