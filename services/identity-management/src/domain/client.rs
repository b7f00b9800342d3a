//! OAuth clients, and where they may have users sent back to.

use std::net::IpAddr;

use url::{Host, Url};

use super::scopes::Scopes;

/// How a client proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientAuthentication {
    None,
    SecretBasic,
}

/// An OAuth client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Client {
    pub(crate) client_id: String,
    pub(crate) authentication: ClientAuthentication,
    pub(crate) redirect_uris: Vec<String>,
    pub(crate) scopes: Scopes,
    pub(crate) display_name: String,
}

impl Client {
    /// The name that people are shown.
    pub(crate) fn name(&self) -> &str {
        if self.display_name.is_empty() { &self.client_id } else { &self.display_name }
    }

    /// Whether users may be sent back there. Compared byte by byte, but for the port of a loopback address (RFC 8252 7.3).
    pub(crate) fn may_redirect_to(&self, uri: &str) -> bool {
        self.redirect_uris.iter().any(|registered| registered == uri || is_same_loopback(registered, uri))
    }
}

/// Whether a text can be a client identifier.
pub(crate) fn is_client_id(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

/// Why a redirect URI cannot be registered; `None`: it can.
pub(crate) fn redirect_uri_fault(uri: &str) -> Option<&'static str> {
    let Ok(url) = Url::parse(uri) else { return Some("must be an absolute URL") };
    if uri.len() > 2_048 {
        return Some("must be at most 2048 bytes");
    }
    if url.fragment().is_some() {
        return Some("must have no fragment");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Some("must hold no user name or password");
    }
    let is_good = match url.scheme() {
        "https" => url.has_host(),
        "http" => loopback(&url).is_some(),
        // A reversed domain name, so that no other app has it by chance (RFC 8252 7.1); never a scheme that runs something.
        private_use => private_use.contains('.'),
    };
    (!is_good)
        .then_some("must be https, http with a loopback address literal, or a private-use scheme with a dot")
}

/// What a page that ends in this redirect has to name in `form-action`: the origin, or the scheme of an app.
pub(crate) fn form_action_source(uri: &Url) -> String {
    match uri.scheme() {
        "http" | "https" => uri.origin().ascii_serialization(),
        private_use => format!("{private_use}:"),
    }
}

fn loopback(url: &Url) -> Option<IpAddr> {
    let address = match url.host()? {
        Host::Ipv4(address) => IpAddr::from(address),
        Host::Ipv6(address) => IpAddr::from(address),
        Host::Domain(_) => return None,
    };
    address.is_loopback().then_some(address)
}

fn is_same_loopback(registered: &str, uri: &str) -> bool {
    let (Ok(mut registered), Ok(asked)) = (Url::parse(registered), Url::parse(uri)) else { return false };
    if registered.scheme() != "http" || loopback(&registered).is_none() || asked.as_str() != uri {
        return false;
    }
    registered.set_port(asked.port()).is_ok() && registered == asked
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(redirect_uris: &[&str]) -> Client {
        Client {
            client_id: "ue".to_owned(),
            authentication: ClientAuthentication::None,
            redirect_uris: redirect_uris.iter().map(|&uri| uri.to_owned()).collect(),
            scopes: Scopes::default(),
            display_name: String::new(),
        }
    }

    #[test]
    fn users_are_sent_back_only_to_what_is_registered() {
        let client = client(&[
            "https://app.example/cb",
            "com.example.app:/cb",
            "http://127.0.0.1/cb",
            "http://[::1]:1/cb",
        ]);
        let cases = [
            ("https://app.example/cb", true),
            ("https://app.example/cb/", false),
            ("https://app.example/cb?x=1", false),
            ("https://APP.example/cb", false),
            ("https://app.example:8443/cb", false),
            ("https://app.example.evil.example/cb", false),
            ("com.example.app:/cb", true),
            ("com.example.app:/other", false),
            ("http://127.0.0.1/cb", true),
            ("http://127.0.0.1:49152/cb", true),
            ("http://127.0.0.1:49152/cb?x", false),
            ("http://127.0.0.1:49152/", false),
            ("http://127.0.0.1.evil.example:49152/cb", false),
            ("http://127.0.0.1:1@evil.example/cb", false),
            ("http://user@127.0.0.1:49152/cb", false),
            ("http://127.0.0.2:49152/cb", false),
            ("http://localhost:49152/cb", false),
            ("http://[::1]:49152/cb", true),
            ("http://0x7f.1:49152/cb", false),
            ("javascript:alert(1)", false),
        ];
        for (uri, expected) in cases {
            assert_eq!(client.may_redirect_to(uri), expected, "{uri}");
        }
    }

    #[test]
    fn redirect_uris_that_leave_the_device_in_the_clear_cannot_be_registered() {
        for good in
            ["https://app.example/cb", "http://127.0.0.1/cb", "http://[::1]/cb", "com.example.app:/cb"]
        {
            assert_eq!(redirect_uri_fault(good), None, "{good}");
        }
        for bad in [
            "",
            "/cb",
            "http://app.example/cb",
            "http://localhost/cb",
            "https://app.example/cb#x",
            "https://a:b@app.example/cb",
            "javascript:alert(1)",
            "data:text/html,x",
        ] {
            assert!(redirect_uri_fault(bad).is_some(), "{bad}");
        }
    }
}
