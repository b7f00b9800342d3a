//! An OpenID provider that keeps a record: it does what RFC 6749, 7523, 7636, 8693 and OpenID Connect say, for one user.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use mcx_federation::{Listener, TrustBundles, server_config};
use mcx_testkit::TrustDomain;
use mcx_types::Entity;
use rcgen::KeyPair;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

pub const CLIENT_ID: &str = "crossband-ue";
pub const MC_ID: &str = "alice@alpha.example";
pub const PASSWORD: &str = "correct horse battery staple";
pub const REDIRECT_URI: &str = "http://127.0.0.1/authorized";

type Fields = BTreeMap<String, String>;

/// What the provider knows and does; a test reads it and changes it.
pub struct Provider {
    pub issuer: String,
    /// The claims of the next ID tokens, on top of the usual ones; null takes a claim away.
    pub claims: serde_json::Map<String, Value>,
    /// `expires_in` of access tokens.
    pub expires_in: u64,
    /// Access tokens that count.
    pub access_tokens: BTreeSet<String>,
    pub refresh_tokens: BTreeSet<String>,
    /// Security tokens that were issued and not handed in yet, with what they are for.
    pub security_tokens: BTreeMap<String, String>,
    /// Partners that the user may go to.
    pub targets: BTreeSet<String>,
    /// `grant_type` of every request to the token endpoint, and `revoke`.
    pub log: Vec<String>,
    /// The grants that are answered with 503.
    pub away: BTreeSet<String>,
    /// Signs with a key that the key set does not have.
    pub signs_with_foreign_key: bool,
    pub scopes: Vec<String>,
    primary: Option<Arc<Mutex<Provider>>>,
    pages: BTreeMap<String, Fields>,
    codes: BTreeMap<String, Fields>,
    count: u64,
    key: KeyPair,
}

#[derive(Clone)]
pub struct IdentityServer {
    provider: Arc<Mutex<Provider>>,
    _serving: Arc<AbortOnDropHandle<()>>,
}

impl IdentityServer {
    /// A provider of `domain`; one of a partner believes the security tokens of `primary`.
    pub async fn start(domain: &TrustDomain, primary: Option<&IdentityServer>) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let provider = Arc::new(Mutex::new(Provider {
            issuer: format!("https://{address}"),
            claims: serde_json::Map::new(),
            expires_in: 900,
            access_tokens: BTreeSet::new(),
            refresh_tokens: BTreeSet::new(),
            security_tokens: BTreeMap::new(),
            targets: BTreeSet::new(),
            log: Vec::new(),
            away: BTreeSet::new(),
            signs_with_foreign_key: false,
            scopes: Vec::new(),
            primary: primary.map(|primary| Arc::clone(&primary.provider)),
            pages: BTreeMap::new(),
            codes: BTreeMap::new(),
            count: 0,
            key: KeyPair::generate().unwrap(),
        }));
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/jwks", get(keys))
            .route("/authorize", get(page).post(login))
            .route("/token", post(token))
            .route("/revoke", post(revoke))
            .with_state(Arc::clone(&provider));
        let own = domain.entity(Entity::IdentityManagement);
        let tls = server_config(&own, &TrustBundles::new(own.clone()), Listener::Client);
        let serving = tokio::spawn(serve(socket, TlsAcceptor::from(tls), router));
        Self { provider, _serving: Arc::new(AbortOnDropHandle::new(serving)) }
    }

    pub fn state(&self) -> MutexGuard<'_, Provider> {
        self.provider.lock().unwrap()
    }

    pub fn token_endpoint(&self) -> String {
        format!("{}/token", self.state().issuer)
    }

    pub fn address(&self) -> SocketAddr {
        self.state().issuer.trim_start_matches("https://").parse().unwrap()
    }
}

async fn serve(socket: TcpListener, tls: TlsAcceptor, router: Router) {
    loop {
        let (stream, _) = socket.accept().await.unwrap();
        let (tls, service) = (tls.clone(), TowerToHyperService::new(router.clone()));
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            let _ = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

type Shared = State<Arc<Mutex<Provider>>>;

async fn discovery(State(provider): Shared) -> Json<Value> {
    let issuer = provider.lock().unwrap().issuer.clone();
    Json(json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "revocation_endpoint": format!("{issuer}/revoke"),
        "jwks_uri": format!("{issuer}/jwks"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    }))
}

async fn keys(State(provider): Shared) -> Json<Value> {
    let provider = provider.lock().unwrap();
    let point = provider.key.public_key_raw();
    let coordinate = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
    Json(json!({ "keys": [{
        "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "1",
        "x": coordinate(&point[1..33]), "y": coordinate(&point[33..]),
    }] }))
}

async fn page(State(provider): Shared, Query(fields): Query<Fields>) -> Response {
    let mut provider = provider.lock().unwrap();
    assert_eq!(fields["response_type"], "code");
    assert_eq!(fields["client_id"], CLIENT_ID);
    assert_eq!(fields["code_challenge_method"], "S256");
    assert_eq!(fields["acr_values"], "3gpp:acr:password");
    provider.scopes = fields["scope"].split(' ').map(str::to_owned).collect();
    if fields["scope"] == "refused" {
        let state = &fields["state"];
        return Redirect::to(&format!("{REDIRECT_URI}?error=invalid_scope&state={state}")).into_response();
    }
    let csrf = provider.next("csrf");
    provider.pages.insert(csrf.clone(), fields);
    let page = format!(
        r#"<form method="post" action="authorize?x=1&amp;y=2"><input type="hidden" name="csrf" value="{csrf}">
        <input name="mc_id"><input type="password" name="password"></form>"#
    );
    ([("set-cookie", format!("csrf={csrf}; HttpOnly; Secure"))], Html(page)).into_response()
}

async fn login(State(provider): Shared, headers: HeaderMap, Form(form): Form<Fields>) -> Response {
    let mut provider = provider.lock().unwrap();
    let csrf = &form["csrf"];
    assert_eq!(headers["cookie"].to_str().unwrap(), format!("csrf={csrf}"));
    let Some(request) = provider.pages.remove(csrf) else { return StatusCode::BAD_REQUEST.into_response() };
    if form["mc_id"] != MC_ID || form["password"] != PASSWORD {
        return (
            StatusCode::UNAUTHORIZED,
            Html("<form><input name=mc_id><input type=password name=password></form>"),
        )
            .into_response();
    }
    let code = provider.next("code");
    let back = format!("{}?code={code}&state={}", request["redirect_uri"], request["state"]);
    provider.codes.insert(code, request);
    Redirect::to(&back).into_response()
}

async fn token(State(provider): Shared, Form(form): Form<Fields>) -> Response {
    let mut provider = provider.lock().unwrap();
    let grant = form["grant_type"].rsplit(':').next().unwrap().to_owned();
    provider.log.push(grant.clone());
    if provider.away.contains(&grant) {
        return (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "7")]).into_response();
    }
    assert_eq!(form["client_id"], CLIENT_ID);
    match grant.as_str() {
        "authorization_code" => {
            let Some(request) = provider.codes.remove(&form["code"]) else { return refused("invalid_grant") };
            let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(form["code_verifier"].as_bytes()));
            assert_eq!(challenge, request["code_challenge"]);
            assert_eq!(form["redirect_uri"], request["redirect_uri"]);
            let id_token = provider.id_token(Some(&request["nonce"]));
            provider.tokens(Some(id_token))
        }
        "refresh_token" => {
            if !provider.refresh_tokens.remove(&form["refresh_token"]) {
                return refused("invalid_grant");
            }
            provider.tokens(None)
        }
        "token-exchange" => {
            assert_eq!(form["subject_token_type"], "urn:ietf:params:oauth:token-type:access_token");
            if !provider.access_tokens.contains(&form["subject_token"]) {
                return refused("invalid_grant");
            }
            if !provider.targets.contains(&form["resource"]) {
                return refused("invalid_target");
            }
            let security_token = provider.next("security");
            provider.security_tokens.insert(security_token.clone(), form["resource"].clone());
            Json(json!({
                "access_token": security_token, "token_type": "N_A", "expires_in": 300,
                "issued_token_type": "urn:ietf:params:oauth:token-type:jwt",
            }))
            .into_response()
        }
        "jwt-bearer" => {
            let own = format!("{}/token", provider.issuer);
            let primary = provider.primary.clone().expect("only partners take security tokens");
            let handed_in = primary.lock().unwrap().security_tokens.remove(&form["assertion"]);
            if handed_in != Some(own) {
                return refused("invalid_grant");
            }
            provider.scopes = form["scope"].split(' ').map(str::to_owned).collect();
            let id_token = provider.id_token(None);
            provider.tokens(Some(id_token))
        }
        _ => refused("unsupported_grant_type"),
    }
}

async fn revoke(State(provider): Shared, Form(form): Form<Fields>) -> StatusCode {
    let mut provider = provider.lock().unwrap();
    provider.log.push("revoke".to_owned());
    if provider.away.contains("revoke") {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    provider.access_tokens.remove(&form["token"]);
    provider.refresh_tokens.remove(&form["token"]);
    StatusCode::OK
}

fn refused(error: &str) -> Response {
    let body = Json(json!({ "error": error, "error_description": format!("because of {error}") }));
    (StatusCode::BAD_REQUEST, body).into_response()
}

impl Provider {
    fn next(&mut self, kind: &str) -> String {
        self.count += 1;
        let hash = Sha256::digest(format!("{}{kind}{}", self.issuer, self.count));
        format!("secret-{kind}-{}", URL_SAFE_NO_PAD.encode(&hash[..12]))
    }

    fn tokens(&mut self, id_token: Option<String>) -> Response {
        let (access_token, refresh_token) = (self.next("access"), self.next("refresh"));
        self.access_tokens.insert(access_token.clone());
        self.refresh_tokens.insert(refresh_token.clone());
        Json(json!({
            "access_token": access_token, "token_type": "Bearer", "expires_in": self.expires_in,
            "refresh_token": refresh_token, "id_token": id_token,
        }))
        .into_response()
    }

    fn id_token(&self, nonce: Option<&String>) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut claims = json!({
            "iss": self.issuer, "sub": "7f9c", "aud": CLIENT_ID, "exp": now + 300, "iat": now,
            "nonce": nonce, "mcptt_id": "sip:alice@ptt.alpha.example", "mcdata_id": "sip:alice@data.alpha.example",
        });
        let own = claims.as_object_mut().unwrap();
        own.extend(self.claims.clone());
        own.retain(|_, value| !value.is_null());
        let foreign = KeyPair::generate().unwrap();
        let key = if self.signs_with_foreign_key { &foreign } else { &self.key };
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some("1".to_owned());
        encode(&header, &claims, &EncodingKey::from_ec_der(&key.serialize_der())).unwrap()
    }
}
