//! The pages that people see: plain HTML, without any script, from nowhere else, in no frame.

use std::sync::LazyLock;

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_FRAME_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::domain::authorization::Parameters;
use crate::domain::client::form_action_source;

const STYLE: &str = "\
body{font-family:system-ui,sans-serif;background:#f3f4f6;color:#111827;margin:0;display:grid;min-height:100vh;place-items:center}\
main{background:#fff;padding:2rem;border-radius:.5rem;width:20rem;box-shadow:0 1px 4px #0003}\
h1{font-size:1.25rem;margin:0 0 .25rem}p{margin:.25rem 0 1rem}label{display:block;margin-top:.75rem}\
input{box-sizing:border-box;width:100%;padding:.5rem;margin-top:.25rem;font:inherit}\
button{width:100%;margin-top:1.25rem;padding:.6rem;font:inherit}.error{color:#b91c1c}";

static STYLE_HASH: LazyLock<String> = LazyLock::new(|| STANDARD.encode(Sha256::digest(STYLE)));

/// Where and how a login page is shown.
pub(super) struct LoginPage<'a> {
    pub(super) mc_system_id: &'a str,
    pub(super) client_name: &'a str,
    /// Where the form goes.
    pub(super) action: &'a str,
    /// What the client asked, to be asked again with the form.
    pub(super) parameters: &'a Parameters,
    pub(super) redirect_uri: &'a str,
    pub(super) form_token: &'a str,
    /// What went wrong before.
    pub(super) error: Option<&'a str>,
}

/// What is sent with the form and was not asked by the client.
pub(super) const FORM_FIELDS: [&str; 3] = ["form_token", "mc_id", "password"];

impl LoginPage<'_> {
    pub(super) fn response(&self, status: StatusCode) -> Response {
        let hidden: String = self
            .parameters
            .0
            .iter()
            .filter(|(name, _)| !FORM_FIELDS.contains(&name.as_str()))
            .map(|(name, value)| {
                format!("<input type=\"hidden\" name=\"{}\" value=\"{}\">\n", escape(name), escape(value))
            })
            .collect();
        let error =
            self.error.map(|error| format!("<p class=\"error\" role=\"alert\">{}</p>\n", escape(error)));
        let body = format!(
            "<h1>{system}</h1>\n<p>Log in to {client}.</p>\n{error}\
             <form method=\"post\" action=\"{action}\" autocomplete=\"off\">\n{hidden}\
             <input type=\"hidden\" name=\"form_token\" value=\"{token}\">\n\
             <label>MC ID<input name=\"mc_id\" autocomplete=\"username\" autocapitalize=\"none\" spellcheck=\"false\" \
             required autofocus></label>\n\
             <label>Password<input type=\"password\" name=\"password\" autocomplete=\"current-password\" required></label>\n\
             <button>Log in</button>\n</form>",
            system = escape(self.mc_system_id),
            client = escape(self.client_name),
            error = error.unwrap_or_default(),
            action = escape(self.action),
            token = escape(self.form_token),
        );
        // Browsers hold a form to `form-action` also where it ends in a redirect.
        let target =
            url::Url::parse(self.redirect_uri).map(|uri| form_action_source(&uri)).unwrap_or_default();
        document(status, &body, &format!("'self' {target}"))
    }
}

/// A page that tells a user why she cannot go on.
pub(super) fn error_page(status: StatusCode, message: &str) -> Response {
    document(
        status,
        &format!("<h1>This does not work</h1>\n<p role=\"alert\">{}</p>", escape(message)),
        "'none'",
    )
}

fn document(status: StatusCode, body: &str, form_action: &str) -> Response {
    let html = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Log in</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    );
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; form-action {form_action}; frame-ancestors 'none'; base-uri 'none'",
        *STYLE_HASH
    );
    let mut response = (status, html).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    // An origin is ASCII; were one not, the page is shown without a form that works.
    let policy = HeaderValue::from_str(&policy)
        .unwrap_or(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    headers.insert(CONTENT_SECURITY_POLICY, policy);
    response
}

/// As text and in quoted attributes of HTML.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_client_sends_becomes_markup() {
        assert_eq!(escape("\"><script>'&"), "&quot;&gt;&lt;script&gt;&#39;&amp;");
    }
}
