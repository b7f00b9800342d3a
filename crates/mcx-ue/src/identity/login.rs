//! The login page, as a browser sees it: which form there is, and what it wants filled in.

use html5gum::{StartTag, Token, Tokenizer};

/// A form that asks for a password.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LoginForm {
    /// Where it goes; relative to the page.
    pub(super) action: String,
    /// What is sent along as it stands.
    pub(super) hidden: Vec<(String, String)>,
    /// The name of the field for the MC ID.
    pub(super) user_field: String,
    /// The name of the field for the password.
    pub(super) password_field: String,
}

#[derive(Default)]
struct Draft {
    action: String,
    hidden: Vec<(String, String)>,
    user_field: Option<String>,
    password_field: Option<String>,
}

impl Draft {
    fn input(&mut self, tag: &StartTag<()>) {
        let Some(name) = attribute(tag, "name") else { return };
        match attribute(tag, "type").unwrap_or_default().to_ascii_lowercase().as_str() {
            "hidden" => self.hidden.push((name, attribute(tag, "value").unwrap_or_default())),
            "password" => self.password_field = Some(name),
            "" | "text" | "email" => self.user_field = Some(name),
            _ => {}
        }
    }

    fn finish(self) -> Option<LoginForm> {
        Some(LoginForm {
            action: self.action,
            hidden: self.hidden,
            user_field: self.user_field?,
            password_field: self.password_field?,
        })
    }
}

/// The first form of a page that asks for a name and a password.
pub(super) fn login_form(page: &str) -> Option<LoginForm> {
    let mut draft: Option<Draft> = None;
    for Ok(token) in Tokenizer::new(page) {
        match token {
            Token::StartTag(tag) if *tag.name == b"form" => {
                let action = attribute(&tag, "action").unwrap_or_default();
                draft = Some(Draft { action, ..Draft::default() });
            }
            Token::StartTag(tag) if *tag.name == b"input" => {
                if let Some(draft) = &mut draft {
                    draft.input(&tag);
                }
            }
            Token::EndTag(tag) if *tag.name == b"form" => {
                if let Some(form) = draft.take().and_then(Draft::finish) {
                    return Some(form);
                }
            }
            _ => {}
        }
    }
    draft.and_then(Draft::finish)
}

fn attribute(tag: &StartTag<()>, name: &str) -> Option<String> {
    let value = tag.attributes.get(name.as_bytes())?;
    Some(String::from_utf8_lossy(value).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn form_is_read_as_a_browser_would() {
        let page = r#"<!doctype html><html><body>
            <form action="/search"><input type="text" name="q"></form>
            <form method="post" action="/authorize?a=1&amp;b=2">
              <input type='HIDDEN' name=csrf value="a&quot;b&#x3D;">
              <input type="hidden" name="request_id" value="7">
              <label>MC ID <input name="mc_id" autofocus></label>
              <input type="password" name="password">
              <button type="submit" name="go" value="1">Log in</button>
            </form>"#;
        let form = login_form(page).unwrap();
        assert_eq!(form.action, "/authorize?a=1&b=2");
        let hidden = [("csrf", "a\"b="), ("request_id", "7")];
        assert_eq!(form.hidden, hidden.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!((form.user_field.as_str(), form.password_field.as_str()), ("mc_id", "password"));
    }

    #[test]
    fn page_without_a_login_form_has_none() {
        for page in ["", "<form><input name=q></form>", "<input type=password name=p><input name=u>", "<form"]
        {
            assert_eq!(login_form(page), None, "{page}");
        }
    }
}
