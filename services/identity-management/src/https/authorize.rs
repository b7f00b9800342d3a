//! The login page. There are no sessions: each authorization request asks for the password.

use axum::body::Bytes;
use axum::extract::{Extension, RawQuery, State};
use axum::http::header::{COOKIE, LOCATION, REFERRER_POLICY, RETRY_AFTER, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use mcx_types::SourceNetwork;
use secrecy::SecretString;
use subtle::ConstantTimeEq;

use super::error::{fault, too_often, uncached};
use super::form;
use super::page::{FORM_FIELDS, LoginPage, error_page};
use crate::app::App;
use crate::app::login::Login;
use crate::app::randomness::secret;
use crate::domain::authorization::{
    self, AuthorizationRequest, Parameters, RedirectedError, Unanswerable, redirect_to,
};
use crate::domain::client::Client;
use crate::error::Error;

/// Holds what the form must repeat. `__Host-`: set by this host itself, for all of it, over TLS.
const COOKIE_NAME: &str = "__Host-form-token";

/// What a user is told whatever was wrong.
const REFUSED: &str = "MC ID or password is wrong.";

/// An authorization request that was looked at.
enum Asked {
    Answerable(Client, AuthorizationRequest),
    Response(Response),
}

/// `GET /authorize`
pub(super) async fn show(State(app): State<App>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let parameters = form::parameters(query.unwrap_or_default().as_bytes());
    match look_at(&app, &parameters).await {
        Asked::Answerable(client, request) => {
            let (token, is_new) = match form_token(&headers) {
                Some(token) => (token.to_owned(), false),
                None => (secret(&app.randomness).to_string(), true),
            };
            let mut response = page(&app, &parameters, &client, &request, &token, None, StatusCode::OK);
            if is_new {
                let cookie = format!("{COOKIE_NAME}={token}; Path=/; Secure; HttpOnly; SameSite=Strict");
                if let Ok(cookie) = HeaderValue::from_str(&cookie) {
                    response.headers_mut().insert(SET_COOKIE, cookie);
                }
            }
            response
        }
        Asked::Response(response) => response,
    }
}

/// `POST /authorize`: what was entered on the page, with what the client asked.
pub(super) async fn submit(
    State(app): State<App>,
    Extension(source): Extension<SourceNetwork>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let limit = app.config.limits.logins_per_source_per_minute;
    if app.limits.count("login", source, limit).await.is_err() {
        return too_often();
    }
    let Some(form) = form::body(&headers, &body) else {
        return error_page(StatusCode::UNSUPPORTED_MEDIA_TYPE, "This is not what the page sends.");
    };
    let [form_token_field, mc_id, password] = FORM_FIELDS.map(|field| form.get(field).ok().flatten());
    let token = form_token(&headers);
    let is_own_page = token
        .zip(form_token_field)
        .filter(|(cookie, field)| cookie.as_bytes().ct_eq(field.as_bytes()).into());
    let Some((token, _)) = is_own_page else {
        return error_page(
            StatusCode::FORBIDDEN,
            "The page is out of date. Go back to the application and begin again.",
        );
    };
    let asked = Parameters(
        form.0.iter().filter(|(name, _)| !FORM_FIELDS.contains(&name.as_str())).cloned().collect(),
    );
    let (client, request) = match look_at(&app, &asked).await {
        Asked::Answerable(client, request) => (client, request),
        Asked::Response(response) => return response,
    };
    let again = |error: &str, status| page(&app, &asked, &client, &request, token, Some(error), status);
    let password = SecretString::from(password.unwrap_or_default());
    match app.login(&request, mc_id.unwrap_or_default().trim(), password, source).await {
        Ok(Login::Code(code)) => {
            let answer = [("code", code.as_str())];
            send_back(&app, &request.redirect_uri, &answer, request.state.as_deref())
        }
        Ok(Login::Refused) => again(REFUSED, StatusCode::FORBIDDEN),
        Ok(Login::Locked { until }) => {
            let wait = until.saturating_since(app.clock.now()).as_secs() + 1;
            let error = format!("Too many wrong passwords. Try again in {wait} seconds.");
            let mut response = again(&error, StatusCode::TOO_MANY_REQUESTS);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait));
            response
        }
        Err(Error::StoreUnavailable | Error::Overloaded) => {
            again("The system is busy. Try again in a moment.", StatusCode::SERVICE_UNAVAILABLE)
        }
        Err(error) => fault(&error),
    }
}

async fn look_at(app: &App, parameters: &Parameters) -> Asked {
    let unanswerable = |refusal: Unanswerable| {
        tracing::info!(?refusal, "authorization request cannot be answered");
        Asked::Response(error_page(StatusCode::BAD_REQUEST, &refusal.to_string()))
    };
    let client_id = match authorization::client_id(parameters) {
        Ok(client_id) => client_id,
        Err(refusal) => return unanswerable(refusal),
    };
    let client = match app.client(client_id).await {
        Ok(Some(client)) => client,
        Ok(None) => return unanswerable(Unanswerable::UnknownClient),
        Err(Error::StoreUnavailable) => {
            let response =
                error_page(StatusCode::SERVICE_UNAVAILABLE, "The system is busy. Try again in a moment.");
            return Asked::Response(response);
        }
        Err(error) => return Asked::Response(fault(&error)),
    };
    match authorization::read(parameters, &client) {
        Ok(Ok(request)) => Asked::Answerable(client, request),
        Ok(Err(RedirectedError { redirect_uri, state, error, description })) => {
            tracing::info!(client_id, error, description, "authorization request refused");
            let answer = [("error", error), ("error_description", description)];
            Asked::Response(send_back(app, &redirect_uri, &answer, state.as_deref()))
        }
        Err(refusal) => unanswerable(refusal),
    }
}

/// 303, so that no browser sends the password on.
fn send_back(app: &App, redirect_uri: &str, answer: &[(&str, &str)], state: Option<&str>) -> Response {
    let location = redirect_to(redirect_uri, &app.issuer, answer, state);
    let location = location.and_then(|location| HeaderValue::from_str(location.as_str()).ok());
    let Some(location) = location else {
        return error_page(StatusCode::BAD_REQUEST, &Unanswerable::UnknownRedirectUri.to_string());
    };
    let mut response = uncached(StatusCode::SEE_OTHER.into_response());
    response.headers_mut().insert(LOCATION, location);
    response.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

fn page(
    app: &App,
    parameters: &Parameters,
    client: &Client,
    request: &AuthorizationRequest,
    form_token: &str,
    error: Option<&str>,
    status: StatusCode,
) -> Response {
    let action = format!("{}/authorize", app.issuer);
    let path = url::Url::parse(&action).map(|url| url.path().to_owned()).unwrap_or(action);
    LoginPage {
        mc_system_id: app.own.as_str(),
        client_name: client.name(),
        action: &path,
        parameters,
        redirect_uri: &request.redirect_uri,
        form_token,
        error,
    }
    .response(status)
}

/// The token of the cookie, if it is one of ours.
fn form_token(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut tokens = cookies
        .flat_map(|cookies| cookies.split(';'))
        .filter_map(|cookie| cookie.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='))
        .filter(|token| {
            token.len() == 43
                && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        });
    tokens.next()
}
