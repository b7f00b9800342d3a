//! What a UE does over HTTPS: a browser that fills in the login page, and the requests of an OAuth client, each with whatever is wrong.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mcx_federation::spiffe_server_client_config;
use mcx_testkit::TrustDomain;
use reqwest::header::{COOKIE, HeaderMap, LOCATION, SET_COOKIE};
use reqwest::{Client, Response, StatusCode, redirect};
use serde_json::Value;
use sha2::{Digest, Sha256};
use url::Url;

use crate::fixture::{PASSWORD, REDIRECT_URI, UE};

/// Of RFC 7636 appendix B.
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

pub(crate) const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
pub(crate) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
pub(crate) const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

pub(crate) struct UserAgent {
    pub(crate) http: Client,
    issuer: String,
}

/// What was answered with JSON.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    async fn of(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.unwrap();
        Self { status, headers, body: serde_json::from_slice(&body).unwrap_or_default() }
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.body[name].as_str().unwrap_or_default()
    }

    pub(crate) fn access_token(&self) -> &str {
        assert_eq!(self.status, StatusCode::OK, "{}", self.body);
        self.text("access_token")
    }

    pub(crate) fn refresh_token(&self) -> &str {
        self.text("refresh_token")
    }

    /// `error` and `error_description`.
    pub(crate) fn refusal(&self) -> (u16, &str, &str) {
        (self.status.as_u16(), self.text("error"), self.text("error_description"))
    }
}

/// A page as a browser has it.
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) html: String,
    pub(crate) cookie: Option<String>,
}

impl Page {
    async fn of(response: Response) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        let cookie = headers.get(SET_COOKIE).map(|cookie| cookie.to_str().unwrap());
        let cookie = cookie.map(|cookie| cookie.split(';').next().unwrap().to_owned());
        Self { status, headers, html: response.text().await.unwrap(), cookie }
    }

    /// The hidden fields of the form.
    pub(crate) fn fields(&self) -> Vec<(String, String)> {
        self.html
            .split("<input type=\"hidden\" ")
            .skip(1)
            .map(|input| (attribute(input, "name"), attribute(input, "value")))
            .collect()
    }
}

fn attribute(input: &str, name: &str) -> String {
    let value = input.split_once(&format!("{name}=\"")).unwrap().1.split_once('"').unwrap().0;
    let value = value.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">");
    value.replace("&#39;", "'").replace("&amp;", "&")
}

impl UserAgent {
    pub(crate) fn new(domain: &TrustDomain, issuer: &str) -> Self {
        let tls = spiffe_server_client_config(domain.bundle_pem().as_bytes(), domain.mc_system_id()).unwrap();
        let http = Client::builder().tls_backend_preconfigured(tls).redirect(redirect::Policy::none());
        Self { http: http.build().unwrap(), issuer: issuer.to_owned() }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.issuer)
    }

    pub(crate) fn token_endpoint(&self) -> String {
        self.url("/token")
    }

    /// An authorization request of the client of UEs, with changes; an empty value leaves a parameter out.
    pub(crate) fn request(changes: &[(&str, &str)]) -> BTreeMap<String, String> {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
        let defaults = [
            ("client_id", UE),
            ("redirect_uri", REDIRECT_URI),
            ("response_type", "code"),
            ("scope", "openid 3gpp:mc:ptt_service 3gpp:mc:data_service"),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
            ("state", "some state"),
            ("nonce", "some nonce"),
        ];
        let all = defaults.iter().chain(changes);
        let mut request: BTreeMap<String, String> =
            all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        request.retain(|_, value| !value.is_empty());
        request
    }

    pub(crate) async fn open(&self, request: &BTreeMap<String, String>) -> Page {
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(request).finish();
        let response = self.http.get(self.url(&format!("/authorize?{query}"))).send().await.unwrap();
        Page::of(response).await
    }

    pub(crate) async fn submit(&self, page: &Page, mc_id: &str, password: &str) -> Page {
        let mut fields = page.fields();
        fields.push(("mc_id".to_owned(), mc_id.to_owned()));
        fields.push(("password".to_owned(), password.to_owned()));
        self.post(&fields, page.cookie.as_deref()).await
    }

    pub(crate) async fn post(&self, fields: &[(String, String)], cookie: Option<&str>) -> Page {
        let request = self.http.post(self.url("/authorize")).header(COOKIE, cookie.unwrap_or_default());
        Page::of(request.form(fields).send().await.unwrap()).await
    }

    /// Logs in with these words; the page that comes then.
    pub(crate) async fn login(&self, mc_id: &str, password: &str) -> Page {
        let page = self.open(&Self::request(&[])).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.html);
        self.submit(&page, mc_id, password).await
    }

    /// Logs in and gets a code.
    pub(crate) async fn code(&self, mc_id: &str, changes: &[(&str, &str)]) -> String {
        let page = self.open(&Self::request(changes)).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.html);
        let answer = self.submit(&page, mc_id, PASSWORD).await;
        sent_back(&answer).remove("code").unwrap()
    }

    pub(crate) async fn token(&self, form: &[(&str, &str)]) -> Answer {
        Answer::of(self.http.post(self.token_endpoint()).form(form).send().await.unwrap()).await
    }

    pub(crate) async fn redeem(&self, code: &str) -> Answer {
        self.redeem_with(code, &[]).await
    }

    pub(crate) async fn redeem_with(&self, code: &str, changes: &[(&str, &str)]) -> Answer {
        let mut form = BTreeMap::from([
            ("grant_type", "authorization_code"),
            ("client_id", UE),
            ("code", code),
            ("redirect_uri", REDIRECT_URI),
            ("code_verifier", VERIFIER),
        ]);
        form.extend(changes.iter().copied());
        form.retain(|_, value| !value.is_empty());
        self.token(&form.into_iter().collect::<Vec<_>>()).await
    }

    pub(crate) async fn refresh(&self, token: &str) -> Answer {
        self.token(&[("grant_type", "refresh_token"), ("client_id", UE), ("refresh_token", token)]).await
    }

    /// Logs in and gets tokens.
    pub(crate) async fn log_in(&self, mc_id: &str) -> Answer {
        let answer = self.redeem(&self.code(mc_id, &[]).await).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer
    }

    pub(crate) async fn exchange(&self, access_token: &str, resource: &str) -> Answer {
        self.token(&[
            ("grant_type", TOKEN_EXCHANGE),
            ("client_id", UE),
            ("subject_token", access_token),
            ("subject_token_type", ACCESS_TOKEN),
            ("resource", resource),
        ])
        .await
    }

    pub(crate) async fn bring(&self, assertion: &str) -> Answer {
        self.token(&[
            ("grant_type", JWT_BEARER),
            ("client_id", UE),
            ("assertion", assertion),
            ("scope", "openid 3gpp:mc:ptt_service 3gpp:mc:data_service"),
        ])
        .await
    }

    pub(crate) async fn revoke(&self, token: &str) -> StatusCode {
        let form = [("client_id", UE), ("token", token)];
        self.http.post(self.url("/revoke")).form(&form).send().await.unwrap().status()
    }

    pub(crate) async fn user_info(&self, token: &str) -> Answer {
        Answer::of(self.http.get(self.url("/userinfo")).bearer_auth(token).send().await.unwrap()).await
    }

    pub(crate) async fn document(&self, path: &str) -> Answer {
        Answer::of(self.http.get(self.url(path)).send().await.unwrap()).await
    }
}

/// What the client is told by way of the redirect.
pub(crate) fn sent_back(page: &Page) -> BTreeMap<String, String> {
    assert_eq!(page.status, StatusCode::SEE_OTHER, "{}", page.html);
    let url: Url = page.headers[LOCATION].to_str().unwrap().parse().unwrap();
    assert_eq!(url.as_str().split('?').next(), Some(REDIRECT_URI));
    url.query_pairs().into_owned().collect()
}

/// What a token says, without any check.
pub(crate) fn claims(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}
