//! The client of one identity management server.

use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use http::header::COOKIE;
use mcx_types::{Clock, McId};
use openidconnect::{CsrfToken, Nonce, PkceCodeChallenge};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use self::provider::Provider;
use super::https::{Answer, HttpsClient};
use super::login::{LoginForm, login_form};
use super::{IdentityError, SecurityToken, TokenSet};

mod provider;

/// Which identity management server, and as which OAuth client.
#[derive(Debug, Clone)]
pub struct IdentitySettings {
    /// Its issuer URL.
    pub issuer: String,
    /// Its token endpoint.
    pub token_endpoint: String,
    /// The OAuth client identifier of this UE there.
    pub client_id: String,
    /// Where the login page sends the user back to; registered with the client. Nothing listens there: the client reads the answer.
    pub redirect_uri: String,
    /// How long one request may take.
    pub deadline: Duration,
}

/// What the user logs in with.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// Who she is.
    pub mc_id: McId,
    /// Her password.
    pub password: SecretString,
}

/// The identity management client (IdMC) towards one identity management server. Clones share connections.
#[derive(Clone)]
pub struct IdentityManagementClient {
    shared: Arc<Shared>,
}

struct Shared {
    https: HttpsClient,
    settings: IdentitySettings,
    clock: Arc<dyn Clock>,
    provider: Mutex<Option<Arc<Provider>>>,
}

/// RFC 6749 5.1, RFC 8693 2.2.1, OpenID Connect Core 3.1.3.3.
#[derive(Deserialize)]
struct TokenAnswer {
    access_token: SecretString,
    expires_in: Option<u64>,
    refresh_token: Option<SecretString>,
    id_token: Option<SecretString>,
}

/// RFC 6749 5.2.
#[derive(Deserialize)]
struct ErrorAnswer {
    error: String,
    #[serde(default)]
    error_description: String,
}

/// How long an access token lives whose answer does not say: one refresh too many does no harm.
const UNSAID_LIFETIME: Duration = Duration::from_secs(60);

impl IdentityManagementClient {
    /// A client that believes the servers that `tls` does. Nothing is asked yet.
    ///
    /// # Errors
    /// [`IdentityError::Unusable`] where `tls` cannot be used.
    pub fn new(
        tls: rustls::ClientConfig,
        settings: IdentitySettings,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, IdentityError> {
        let https = HttpsClient::new(tls, &settings.issuer, settings.deadline)?;
        Ok(Self { shared: Arc::new(Shared { https, settings, clock, provider: Mutex::new(None) }) })
    }

    /// Logs the user in: authorization code flow with PKCE through the login page (TS 33.180 5.1.2, B.4).
    ///
    /// # Errors
    /// [`IdentityError`]; [`IdentityError::WrongCredentials`] when the page asks again.
    pub async fn authenticate(
        &self,
        credentials: &Credentials,
        scopes: &[String],
    ) -> Result<TokenSet, IdentityError> {
        let settings = &self.shared.settings;
        let provider = self.provider().await?;
        let (state, nonce) = (CsrfToken::new_random(), Nonce::new_random());
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let mut page_url = provider.authorization_endpoint().clone();
        page_url
            .query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &settings.client_id)
            .append_pair("redirect_uri", &settings.redirect_uri)
            .append_pair("scope", &scopes.join(" "))
            .append_pair("state", state.secret())
            .append_pair("nonce", nonce.secret())
            .append_pair("code_challenge", challenge.as_str())
            .append_pair("code_challenge_method", challenge.method())
            .append_pair("acr_values", "3gpp:acr:password");
        let https = &self.shared.https;
        let page = https.send("GET login page", https.get(page_url.as_str())).await?;
        let sent_back = match page.location() {
            // Refused before anybody is asked, for example a scope.
            Some(_) => page,
            None => {
                let form = login_form(page.text()?)
                    .ok_or(IdentityError::Malformed("the authorization endpoint shows no login page"))?;
                self.fill_in(&page_url, &form, &page.cookies(), credentials).await?
            }
        };
        let code = self.code(&sent_back, &state)?;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.expose_secret()),
            ("redirect_uri", &settings.redirect_uri),
            ("client_id", &settings.client_id),
            ("code_verifier", verifier.secret()),
        ];
        let answer = self.ask_token("POST token (authorization code)", &form).await?;
        if answer.id_token.is_none() {
            return Err(IdentityError::Malformed("there is no id token"));
        }
        self.tokens(answer, Some(&nonce)).await
    }

    async fn fill_in(
        &self,
        page_url: &Url,
        form: &LoginForm,
        cookies: &str,
        credentials: &Credentials,
    ) -> Result<Answer, IdentityError> {
        let action = page_url
            .join(&form.action)
            .map_err(|_| IdentityError::Malformed("the login form goes nowhere"))?;
        if action.origin() != page_url.origin() {
            return Err(IdentityError::Malformed("the login form goes to another server"));
        }
        let mut fields: Vec<(&str, &str)> =
            form.hidden.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        fields.push((&form.user_field, credentials.mc_id.as_str()));
        fields.push((&form.password_field, credentials.password.expose_secret()));
        let https = &self.shared.https;
        let mut request = https.post(action.as_str()).form(&fields);
        if !cookies.is_empty() {
            request = request.header(COOKIE, cookies);
        }
        let answer = https.send("POST login page", request).await?;
        match answer.location() {
            Some(_) => {}
            None if login_form(answer.text()?).is_some() => return Err(IdentityError::WrongCredentials),
            None => return Err(IdentityError::Malformed("the login page leads nowhere")),
        }
        Ok(answer)
    }

    /// The code that the user was sent back with.
    fn code(&self, sent_back: &Answer, state: &CsrfToken) -> Result<SecretString, IdentityError> {
        let malformed = || IdentityError::Malformed("the user is sent somewhere else");
        let location = sent_back.location().ok_or_else(malformed)?;
        let location = Url::parse(location).map_err(|_| malformed())?;
        let mut back = location.clone();
        back.set_query(None);
        back.set_fragment(None);
        if Ok(&back) != Url::parse(&self.shared.settings.redirect_uri).as_ref() {
            return Err(malformed());
        }
        let value = |name: &str| {
            let mut pairs = location.query_pairs().filter(|(key, _)| key == name);
            pairs.next().map(|(_, value)| value.into_owned())
        };
        if value("state").as_ref() != Some(state.secret()) {
            return Err(IdentityError::Malformed("the answer is not to this request"));
        }
        if value("iss").is_some_and(|issuer| issuer != self.shared.settings.issuer) {
            return Err(IdentityError::Malformed("the answer is of another server"));
        }
        match (value("code"), value("error")) {
            (Some(code), None) => Ok(code.into()),
            (_, Some(error)) => Err(refusal(error, value("error_description").unwrap_or_default())),
            (None, None) => Err(IdentityError::Malformed("the answer has no code")),
        }
    }

    /// Gets the next set of tokens (RFC 6749 6).
    ///
    /// # Errors
    /// [`IdentityError`]; [`IdentityError::InvalidGrant`] where the refresh token no longer counts.
    pub async fn refresh(&self, refresh_token: &SecretString) -> Result<TokenSet, IdentityError> {
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token.expose_secret()),
            ("client_id", &self.shared.settings.client_id),
        ];
        let answer = self.ask_token("POST token (refresh)", &form).await?;
        self.tokens(answer, None).await
    }

    /// Trades the user's access token for a security token that the identity management server of one partner takes
    /// (TS 33.180 B.7.2, RFC 8693). `resource` is the partner's token endpoint.
    ///
    /// # Errors
    /// [`IdentityError`]; [`IdentityError::InvalidTarget`] where the user may not go there.
    pub async fn exchange(
        &self,
        access_token: &SecretString,
        resource: &str,
    ) -> Result<SecurityToken, IdentityError> {
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("client_id", &self.shared.settings.client_id),
            ("resource", resource),
            ("subject_token", access_token.expose_secret()),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("requested_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ];
        let answer = self.ask_token("POST token (exchange)", &form).await?;
        Ok(SecurityToken(answer.access_token))
    }

    /// Hands in a security token of the user's primary, and gets tokens of this partner (TS 33.180 B.7.4, RFC 7523).
    ///
    /// # Errors
    /// [`IdentityError`]; [`IdentityError::InvalidGrant`] where the partner does not take it.
    pub async fn redeem(
        &self,
        security_token: SecurityToken,
        scopes: &[String],
    ) -> Result<TokenSet, IdentityError> {
        let scope = scopes.join(" ");
        let form = [
            ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
            ("assertion", security_token.0.expose_secret()),
            ("client_id", &self.shared.settings.client_id),
            ("scope", &scope),
        ];
        let answer = self.ask_token("POST token (jwt bearer)", &form).await?;
        self.tokens(answer, None).await
    }

    /// Gives tokens up (RFC 7009): the refresh token, with which its access tokens go, or else the access token.
    ///
    /// # Errors
    /// [`IdentityError`]
    pub async fn revoke(&self, tokens: &TokenSet) -> Result<(), IdentityError> {
        let provider = self.provider().await?;
        let endpoint = provider
            .revocation_endpoint()
            .ok_or(IdentityError::Malformed("there is no revocation endpoint"))?;
        let all = [
            Some((&tokens.access_token, "access_token")),
            tokens.refresh_token.as_ref().map(|token| (token, "refresh_token")),
        ];
        for (token, hint) in all.into_iter().flatten() {
            let form = [
                ("token", token.expose_secret()),
                ("token_type_hint", hint),
                ("client_id", &self.shared.settings.client_id),
            ];
            let https = &self.shared.https;
            let answer = https.send("POST revoke", https.post(endpoint.as_str()).form(&form)).await?;
            if answer.status != StatusCode::OK {
                return Err(refused(&answer));
            }
        }
        Ok(())
    }

    async fn ask_token(
        &self,
        name: &'static str,
        form: &[(&str, &str)],
    ) -> Result<TokenAnswer, IdentityError> {
        let https = &self.shared.https;
        let request = https.post(&self.shared.settings.token_endpoint).form(form);
        let answer = https.send(name, request).await?;
        if answer.status != StatusCode::OK {
            return Err(refused(&answer));
        }
        // The text of the error would repeat what it could not read.
        serde_json::from_slice(&answer.body)
            .map_err(|_| IdentityError::Malformed("the token endpoint does not answer with tokens"))
    }

    async fn tokens(&self, answer: TokenAnswer, nonce: Option<&Nonce>) -> Result<TokenSet, IdentityError> {
        let lifetime = answer.expires_in.map_or(UNSAID_LIFETIME, Duration::from_secs);
        let expires_at = self.shared.clock.now().saturating_add(lifetime);
        let mut tokens = TokenSet {
            access_token: answer.access_token,
            refresh_token: answer.refresh_token,
            expires_at,
            subject: None,
            mc_service_identities: Vec::new(),
        };
        if let Some(id_token) = answer.id_token {
            let client_id = &self.shared.settings.client_id;
            let provider = self.provider().await?;
            let user = match provider.user(&id_token, client_id, nonce) {
                // It may be signed with a key that is newer than what we know.
                Err(IdentityError::IdTokenNotBelieved(_)) => {
                    self.discover().await?.user(&id_token, client_id, nonce)?
                }
                user => user?,
            };
            (tokens.subject, tokens.mc_service_identities) = (Some(user.subject), user.identities);
        }
        Ok(tokens)
    }

    async fn provider(&self) -> Result<Arc<Provider>, IdentityError> {
        let known = self.shared.provider.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some(provider) => Ok(provider),
            None => self.discover().await,
        }
    }

    async fn discover(&self) -> Result<Arc<Provider>, IdentityError> {
        let provider = Provider::discover(&self.shared.https, &self.shared.settings.issuer).await?;
        let provider = Arc::new(provider);
        *self.shared.provider.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&provider));
        Ok(provider)
    }
}

fn refused(answer: &Answer) -> IdentityError {
    match serde_json::from_slice::<ErrorAnswer>(&answer.body) {
        Ok(refused) => refusal(refused.error, refused.error_description),
        Err(_) => refusal(format!("status {}", answer.status.as_u16()), String::new()),
    }
}

fn refusal(error: String, description: String) -> IdentityError {
    match error.as_str() {
        "invalid_grant" => IdentityError::InvalidGrant { description },
        "invalid_target" => IdentityError::InvalidTarget { description },
        _ => IdentityError::Refused { error, description },
    }
}

/// A URL as the configuration gives it.
fn url(text: &str) -> Result<Url, IdentityError> {
    Url::from_str(text).map_err(|_| IdentityError::Unusable(format!("{text} is not a url")))
}
