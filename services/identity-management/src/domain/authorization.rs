//! Which authorization requests are answered, and how: OpenID Connect Core 3.1.2, RFC 6749 4.1, RFC 7636, RFC 9700.

use mcx_federation::access_token::Scope;
use url::Url;

use super::client::Client;
use super::scopes::Scopes;

/// Longest `state` and `nonce` in bytes.
const OPAQUE_LIMIT: usize = 1_024;

/// The parameters of a request, decoded.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parameters(pub(crate) Vec<(String, String)>);

/// A parameter that stands in a request more than once, which RFC 6749 3.1 forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Repeated(pub(crate) &'static str);

impl Parameters {
    /// The parameter; one without a value counts as absent (RFC 6749 3.1).
    pub(crate) fn get(&self, name: &'static str) -> Result<Option<&str>, Repeated> {
        let mut values = self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let first = values.next();
        if values.next().is_some() {
            return Err(Repeated(name));
        }
        Ok(first.filter(|value| !value.is_empty()))
    }
}

/// An authorization request that can be answered once the user has logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AuthorizationRequest {
    pub(crate) client_id: String,
    /// As the client wrote it: the token request must repeat it.
    pub(crate) redirect_uri: String,
    pub(crate) scopes: Scopes,
    pub(crate) state: Option<String>,
    pub(crate) nonce: Option<String>,
    /// The S256 challenge of PKCE.
    pub(crate) code_challenge: String,
}

/// Why the user cannot even be sent back: to an unknown place she must not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unanswerable {
    /// No client has the identifier, or none was named.
    #[error("The application is not known here.")]
    UnknownClient,
    /// The client did not register the redirect URI, or none was named.
    #[error("The application wants you to be sent to a place that it has not registered.")]
    UnknownRedirectUri,
    /// `client_id` or `redirect_uri` stands there twice.
    #[error("The application sent a request that cannot be understood.")]
    Ambiguous,
}

impl From<Repeated> for Unanswerable {
    fn from(_: Repeated) -> Self {
        Self::Ambiguous
    }
}

/// What the client is told by way of the redirect, RFC 6749 4.1.2.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RedirectedError {
    pub(crate) redirect_uri: String,
    pub(crate) state: Option<String>,
    pub(crate) error: &'static str,
    pub(crate) description: &'static str,
}

/// Who asks, before anything else is looked at.
pub(crate) fn client_id(parameters: &Parameters) -> Result<&str, Unanswerable> {
    parameters.get("client_id")?.ok_or(Unanswerable::UnknownClient)
}

/// Reads an authorization request of `client`.
pub(crate) fn read(
    parameters: &Parameters,
    client: &Client,
) -> Result<Result<AuthorizationRequest, RedirectedError>, Unanswerable> {
    let redirect_uri = parameters.get("redirect_uri")?.ok_or(Unanswerable::UnknownRedirectUri)?;
    if !client.may_redirect_to(redirect_uri) {
        return Err(Unanswerable::UnknownRedirectUri);
    }
    let state = parameters.get("state").ok().flatten().filter(|state| state.len() <= OPAQUE_LIMIT);
    let refused = |(error, description)| RedirectedError {
        redirect_uri: redirect_uri.to_owned(),
        state: state.map(str::to_owned),
        error,
        description,
    };
    Ok(read_answerable(parameters, client, redirect_uri).map_err(refused))
}

fn read_answerable(
    parameters: &Parameters,
    client: &Client,
    redirect_uri: &str,
) -> Result<AuthorizationRequest, (&'static str, &'static str)> {
    let get = |name| parameters.get(name).map_err(|_| ("invalid_request", "a parameter is repeated"));
    match get("response_type")? {
        Some("code") => {}
        Some(_) => return Err(("unsupported_response_type", "only code is supported")),
        None => return Err(("invalid_request", "response_type is required")),
    }
    if !matches!(get("response_mode")?, None | Some("query")) {
        return Err(("invalid_request", "only the response mode query is supported"));
    }
    for (name, error) in [("request", "request_not_supported"), ("request_uri", "request_uri_not_supported")]
    {
        if get(name)?.is_some() {
            return Err((error, "parameters must be passed in the query"));
        }
    }
    if get("prompt")?.is_some_and(|prompt| prompt.split(' ').any(|value| value == "none")) {
        return Err(("login_required", "there are no sessions here: the user has to log in"));
    }
    let code_challenge = get("code_challenge")?.ok_or(("invalid_request", "PKCE is required"))?;
    if get("code_challenge_method")? != Some("S256") {
        return Err(("invalid_request", "code_challenge_method must be S256"));
    }
    if !is_s256_challenge(code_challenge) {
        return Err(("invalid_request", "code_challenge is no S256 challenge"));
    }
    let opaque = |name| match get(name)? {
        Some(text) if text.len() > OPAQUE_LIMIT => Err(("invalid_request", "state or nonce is too long")),
        text => Ok(text.map(str::to_owned)),
    };
    let scopes = Scopes::requested(get("scope")?.unwrap_or_default());
    if !scopes.contains(Scope::OpenId) {
        return Err(("invalid_scope", "the scope openid is required"));
    }
    Ok(AuthorizationRequest {
        client_id: client.client_id.clone(),
        redirect_uri: redirect_uri.to_owned(),
        scopes: scopes.granted_out_of(&client.scopes),
        state: opaque("state")?,
        nonce: opaque("nonce")?,
        code_challenge: code_challenge.to_owned(),
    })
}

/// 32 bytes in base64url without padding (RFC 7636 4.2).
fn is_s256_challenge(text: &str) -> bool {
    text.len() == 43 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Where the user is sent back to, with what the client is told. `iss` keeps a client of several issuers from mixing them up (RFC 9207).
pub(crate) fn redirect_to(
    redirect_uri: &str,
    issuer: &str,
    answer: &[(&str, &str)],
    state: Option<&str>,
) -> Option<Url> {
    let mut url = Url::parse(redirect_uri).ok()?;
    {
        let mut query = url.query_pairs_mut();
        query.extend_pairs(answer);
        if let Some(state) = state {
            query.append_pair("state", state);
        }
        query.append_pair("iss", issuer);
    }
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::client::ClientAuthentication;

    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn client() -> Client {
        Client {
            client_id: "ue".to_owned(),
            authentication: ClientAuthentication::None,
            redirect_uris: vec!["https://app.example/cb".to_owned()],
            scopes: Scopes::requested("openid 3gpp:mc:ptt_service"),
            display_name: String::new(),
        }
    }

    fn parameters(changes: &[(&str, Option<&str>)]) -> Parameters {
        let mut pairs = vec![
            ("client_id", "ue"),
            ("redirect_uri", "https://app.example/cb"),
            ("response_type", "code"),
            ("scope", "openid 3gpp:mc:ptt_service 3gpp:mc:video_service"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
            ("state", "s"),
        ];
        for (name, value) in changes {
            pairs.retain(|(key, _)| key != name);
            pairs.extend(value.map(|value| (*name, value)));
        }
        Parameters(pairs.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect())
    }

    #[test]
    fn good_request_asks_for_what_the_client_may_have() {
        let request = read(&parameters(&[("nonce", Some("n"))]), &client()).unwrap().unwrap();
        assert_eq!(request.scopes.to_string(), "openid 3gpp:mc:ptt_service");
        assert_eq!((request.state.as_deref(), request.nonce.as_deref()), (Some("s"), Some("n")));
    }

    #[test]
    fn user_is_never_sent_to_an_unregistered_place() {
        let elsewhere = parameters(&[("redirect_uri", Some("https://evil.example/cb"))]);
        assert_eq!(read(&elsewhere, &client()), Err(Unanswerable::UnknownRedirectUri));
        assert_eq!(
            read(&parameters(&[("redirect_uri", None)]), &client()),
            Err(Unanswerable::UnknownRedirectUri)
        );
        let mut twice = parameters(&[]);
        twice.0.push(("redirect_uri".to_owned(), "https://app.example/cb".to_owned()));
        assert_eq!(read(&twice, &client()), Err(Unanswerable::Ambiguous));
        assert_eq!(client_id(&parameters(&[("client_id", None)])), Err(Unanswerable::UnknownClient));
    }

    #[test]
    fn each_bad_request_is_refused_with_its_error() {
        let cases: [(&str, Option<&str>, &str); 12] = [
            ("response_type", None, "invalid_request"),
            ("response_type", Some("token"), "unsupported_response_type"),
            ("response_type", Some("code id_token"), "unsupported_response_type"),
            ("response_mode", Some("fragment"), "invalid_request"),
            ("request", Some("eyJ"), "request_not_supported"),
            ("request_uri", Some("https://app.example/r"), "request_uri_not_supported"),
            ("prompt", Some("none"), "login_required"),
            ("code_challenge", None, "invalid_request"),
            ("code_challenge", Some("short"), "invalid_request"),
            ("code_challenge_method", None, "invalid_request"),
            ("code_challenge_method", Some("plain"), "invalid_request"),
            ("scope", Some("3gpp:mc:ptt_service"), "invalid_scope"),
        ];
        for (name, value, expected) in cases {
            let refused = read(&parameters(&[(name, value)]), &client()).unwrap().unwrap_err();
            assert_eq!(refused.error, expected, "{name}={value:?}");
            assert_eq!(refused.state.as_deref(), Some("s"));
        }
    }

    #[test]
    fn answer_keeps_the_query_of_the_redirect_uri_and_escapes_the_state() {
        let url = redirect_to(
            "https://app.example/cb?x=1",
            "https://idms.example",
            &[("code", "c")],
            Some("a&b=c"),
        )
        .unwrap();
        assert_eq!(
            url.as_str(),
            "https://app.example/cb?x=1&code=c&state=a%26b%3Dc&iss=https%3A%2F%2Fidms.example"
        );
    }
}
