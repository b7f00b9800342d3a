//! HTTPS to one identity management server: no redirection is followed, every request carries the trace.

use std::time::Duration;

use http::header::{LOCATION, RETRY_AFTER, SET_COOKIE};
use http::{HeaderMap, StatusCode};
use mcx_runtime::telemetry::inject_trace_context;
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder};
use tracing::{Instrument, Span};
use zeroize::Zeroizing;

use super::IdentityError;
use crate::connecting::connected;

/// No page or token answer is larger.
const BODY_LIMIT: usize = 1 << 20;

/// How long an idle connection is kept for the next request.
const IDLE: Duration = Duration::from_secs(30);

/// How long a connection may take to open, TLS included, before another one is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A client of one server.
#[derive(Clone)]
pub(super) struct HttpsClient {
    inner: Client,
    issuer: String,
}

/// An answer, whose body may hold tokens.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    headers: HeaderMap,
    pub(super) body: Zeroizing<Vec<u8>>,
}

impl HttpsClient {
    pub(super) fn new(
        tls: rustls::ClientConfig,
        issuer: &str,
        deadline: Duration,
    ) -> Result<Self, IdentityError> {
        let inner = Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(true)
            .redirect(Policy::none())
            .timeout(deadline)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(IDLE)
            .no_proxy()
            .build()
            .map_err(|error| IdentityError::Unusable(error.to_string()))?;
        Ok(Self { inner, issuer: issuer.to_owned() })
    }

    pub(super) fn get(&self, url: &str) -> RequestBuilder {
        self.inner.get(url)
    }

    pub(super) fn post(&self, url: &str) -> RequestBuilder {
        self.inner.post(url)
    }

    /// Sends a request. `name` is what the span is called: it holds no part of the URL, whose query may be secret.
    pub(super) async fn send(
        &self,
        name: &'static str,
        request: RequestBuilder,
    ) -> Result<Answer, IdentityError> {
        let span = tracing::info_span!(
            "https",
            otel.name = name,
            otel.kind = "client",
            server.address = self.issuer,
            http.response.status_code = tracing::field::Empty,
        );
        let mut trace = HeaderMap::new();
        inject_trace_context(&span, &mut trace);
        self.receive(request.headers(trace)).instrument(span).await
    }

    async fn receive(&self, request: RequestBuilder) -> Result<Answer, IdentityError> {
        let away = |source: reqwest::Error| IdentityError::Unreachable {
            issuer: self.issuer.clone(),
            // A query holds the code or the MC ID.
            source: source.without_url(),
        };
        // Where no connection could be opened nothing was sent.
        let attempt = || request.try_clone().expect("a body that is no stream").send();
        let mut response = connected(attempt, reqwest::Error::is_connect).await.map_err(away)?;
        let (status, headers) = (response.status(), response.headers().clone());
        Span::current().record("http.response.status_code", status.as_u16());
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(away)? {
            if body.len() + chunk.len() > BODY_LIMIT {
                return Err(IdentityError::Malformed("the answer is too long"));
            }
            body.extend_from_slice(&chunk);
        }
        if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
            let retry_after = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            return Err(IdentityError::Unavailable {
                issuer: self.issuer.clone(),
                status: status.as_u16(),
                retry_after: retry_after.map(Duration::from_secs),
            });
        }
        Ok(Answer { status, headers, body })
    }
}

impl Answer {
    /// Where the browser is sent.
    pub(super) fn location(&self) -> Option<&str> {
        self.headers.get(LOCATION)?.to_str().ok()
    }

    /// The cookies that were set, as the next request gives them back.
    pub(super) fn cookies(&self) -> String {
        let pairs = self.headers.get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs: Vec<&str> = pairs.filter_map(|cookie| cookie.split(';').next()).map(str::trim).collect();
        pairs.join("; ")
    }

    /// The body as a page.
    pub(super) fn text(&self) -> Result<&str, IdentityError> {
        std::str::from_utf8(&self.body).map_err(|_| IdentityError::Malformed("the page is not text"))
    }
}
