//! The fields of digest authentication (RFC 3261 22.4, RFC 3310) as they stand in `Authorization` and `WWW-Authenticate`.
//!
//! The grammar crate cannot read `nonce=""`, which is how every IMS registration begins (TS 24.229 5.1.1.2), nor keeps
//! `nc` as written, which enters the digest; hence this reader.

use std::fmt;

/// Why a digest header is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// The scheme is not `Digest`.
    #[error("authentication scheme is not digest")]
    OtherScheme,
    /// Quotes do not pair or a parameter has no value.
    #[error("malformed digest parameters")]
    Malformed,
    /// A parameter stands twice.
    #[error("digest parameter {0} stands twice")]
    Duplicate(String),
    /// A required parameter is missing.
    #[error("digest parameter {0} is missing")]
    Missing(&'static str),
}

/// What the user agent answers: the `Authorization` header.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct DigestCredentials {
    /// The private user identity.
    pub username: String,
    /// The realm the answer is for.
    pub realm: String,
    /// The nonce of the challenge; empty in the first request of a registration.
    pub nonce: String,
    /// The digest URI.
    pub uri: String,
    /// The response in hexadecimal; empty in a first request and after a MAC failure.
    pub response: String,
    /// The algorithm token, as written.
    pub algorithm: Option<String>,
    /// The opaque value of the challenge.
    pub opaque: Option<String>,
    /// The quality of protection chosen.
    pub qop: Option<String>,
    /// The client nonce.
    pub cnonce: Option<String>,
    /// The nonce count: eight hexadecimal digits as written.
    pub nc: Option<String>,
    /// The resynchronisation token in base64 (RFC 3310 3.4).
    pub auts: Option<String>,
}

/// The response is a proof made with a secret: it stays out of logs.
impl fmt::Debug for DigestCredentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("DigestCredentials")
            .field("username", &self.username)
            .field("realm", &self.realm)
            .field("algorithm", &self.algorithm)
            .field("has_auts", &self.auts.is_some())
            .finish_non_exhaustive()
    }
}

impl DigestCredentials {
    /// Reads an `Authorization` value.
    ///
    /// # Errors
    /// [`DigestError`] names what is wrong.
    pub fn parse(value: &str) -> Result<Self, DigestError> {
        let mut fields = Fields::parse(value)?;
        Ok(Self {
            username: fields.required("username")?,
            realm: fields.required("realm")?,
            nonce: fields.required("nonce")?,
            uri: fields.required("uri")?,
            response: fields.required("response")?,
            algorithm: fields.take("algorithm"),
            opaque: fields.take("opaque"),
            qop: fields.take("qop"),
            cnonce: fields.take("cnonce"),
            nc: fields.take("nc"),
            auts: fields.take("auts"),
        })
    }
}

impl fmt::Display for DigestCredentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "Digest username={}, realm={}, nonce={}, uri={}, response={}",
            Quoted(&self.username),
            Quoted(&self.realm),
            Quoted(&self.nonce),
            Quoted(&self.uri),
            Quoted(&self.response)
        )?;
        if let Some(algorithm) = &self.algorithm {
            write!(formatter, ", algorithm={algorithm}")?;
        }
        if let Some(opaque) = &self.opaque {
            write!(formatter, ", opaque={}", Quoted(opaque))?;
        }
        if let Some(qop) = &self.qop {
            write!(formatter, ", qop={qop}")?;
        }
        if let Some(cnonce) = &self.cnonce {
            write!(formatter, ", cnonce={}", Quoted(cnonce))?;
        }
        if let Some(nc) = &self.nc {
            write!(formatter, ", nc={nc}")?;
        }
        if let Some(auts) = &self.auts {
            write!(formatter, ", auts={}", Quoted(auts))?;
        }
        Ok(())
    }
}

/// What the registrar asks: the `WWW-Authenticate` header.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DigestChallenge {
    /// The realm.
    pub realm: String,
    /// The nonce: base64 of RAND ‖ AUTN with AKA (RFC 3310 3.2).
    pub nonce: String,
    /// The algorithm token; `MD5` when absent on the wire.
    pub algorithm: String,
    /// The qualities of protection offered, in order.
    pub qop: Vec<String>,
    /// The opaque value.
    pub opaque: Option<String>,
    /// `true` when the last nonce was too old rather than the response wrong.
    pub stale: bool,
}

impl DigestChallenge {
    /// Reads a `WWW-Authenticate` value.
    ///
    /// # Errors
    /// [`DigestError`] names what is wrong.
    pub fn parse(value: &str) -> Result<Self, DigestError> {
        let mut fields = Fields::parse(value)?;
        Ok(Self {
            realm: fields.required("realm")?,
            nonce: fields.required("nonce")?,
            algorithm: fields.take("algorithm").unwrap_or_else(|| "MD5".to_owned()),
            qop: fields
                .take("qop")
                .map(|list| list.split(',').map(|option| option.trim().to_owned()).collect())
                .unwrap_or_default(),
            opaque: fields.take("opaque"),
            stale: fields.take("stale").is_some_and(|value| value.eq_ignore_ascii_case("true")),
        })
    }
}

impl fmt::Display for DigestChallenge {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "Digest realm={}, nonce={}, algorithm={}",
            Quoted(&self.realm),
            Quoted(&self.nonce),
            self.algorithm
        )?;
        if !self.qop.is_empty() {
            write!(formatter, ", qop={}", Quoted(&self.qop.join(",")))?;
        }
        if let Some(opaque) = &self.opaque {
            write!(formatter, ", opaque={}", Quoted(opaque))?;
        }
        if self.stale {
            write!(formatter, ", stale=true")?;
        }
        Ok(())
    }
}

/// A quoted-string with `"` and `\` escaped.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\"")?;
        for character in self.0.chars() {
            match character {
                '"' | '\\' => write!(formatter, "\\{character}")?,
                '\r' | '\n' => {}
                other => write!(formatter, "{other}")?,
            }
        }
        write!(formatter, "\"")
    }
}

struct Fields(Vec<(String, String)>);

impl Fields {
    fn parse(value: &str) -> Result<Self, DigestError> {
        let (scheme, mut rest) = value.trim().split_once([' ', '\t']).ok_or(DigestError::Malformed)?;
        if !scheme.eq_ignore_ascii_case("digest") {
            return Err(DigestError::OtherScheme);
        }
        let mut fields: Vec<(String, String)> = Vec::new();
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            if rest.is_empty() {
                return Ok(Self(fields));
            }
            let (name, after) = rest.split_once('=').ok_or(DigestError::Malformed)?;
            let name = name.trim().to_ascii_lowercase();
            if name.is_empty() || name.contains([' ', '"', ',']) {
                return Err(DigestError::Malformed);
            }
            let (value, after) = read_value(after.trim_start())?;
            if fields.iter().any(|(known, _)| *known == name) {
                return Err(DigestError::Duplicate(name));
            }
            fields.push((name, value));
            rest = after.trim_start();
            if !rest.is_empty() && !rest.starts_with(',') {
                return Err(DigestError::Malformed);
            }
        }
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let index = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(index).1)
    }

    fn required(&mut self, name: &'static str) -> Result<String, DigestError> {
        self.take(name).ok_or(DigestError::Missing(name))
    }
}

/// Reads a token or a quoted-string, and returns it without quotes together with what follows.
fn read_value(text: &str) -> Result<(String, &str), DigestError> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        let token = &text[..end];
        return if token.is_empty() || token.contains('"') {
            Err(DigestError::Malformed)
        } else {
            Ok((token.to_owned(), &text[end..]))
        };
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => return Ok((value, &quoted[index + 1..])),
            '\\' => value.push(characters.next().ok_or(DigestError::Malformed)?.1),
            other => value.push(other),
        }
    }
    Err(DigestError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_authorization_of_a_registration_has_an_empty_nonce_and_response() {
        let credentials = DigestCredentials::parse(
            r#"Digest username="user1_private@home1.net", realm="home1.net", nonce="", uri="sip:home1.net", response="""#,
        )
        .unwrap();
        assert_eq!(credentials.username, "user1_private@home1.net");
        assert_eq!(credentials.nonce, "");
        assert_eq!(credentials.response, "");
        assert_eq!(credentials.algorithm, None);
    }

    #[test]
    fn credentials_survive_printing_and_reading() {
        let credentials = DigestCredentials {
            username: "a\"b\\c@x".into(),
            realm: "r".into(),
            nonce: "n==".into(),
            uri: "sip:r".into(),
            response: "0123".into(),
            algorithm: Some("AKAv1-MD5".into()),
            opaque: Some("o".into()),
            qop: Some("auth".into()),
            cnonce: Some("c".into()),
            nc: Some("00000001".into()),
            auts: Some("YXV0cw==".into()),
        };
        assert_eq!(DigestCredentials::parse(&credentials.to_string()).unwrap(), credentials);
    }

    #[test]
    fn challenges_survive_printing_and_reading() {
        let challenge = DigestChallenge {
            realm: "visitors.bravo.example".into(),
            nonce: "bm9uY2U=".into(),
            algorithm: "AKAv2-SHA-256".into(),
            qop: vec!["auth".into(), "auth-int".into()],
            opaque: Some("abc".into()),
            stale: true,
        };
        assert_eq!(DigestChallenge::parse(&challenge.to_string()).unwrap(), challenge);
        assert_eq!(DigestChallenge::parse(r#"digest realm=a,nonce="b",qop=auth"#).unwrap().algorithm, "MD5");
    }

    #[test]
    fn broken_digests_are_refused() {
        let missing = DigestCredentials::parse(r#"Digest username="a", realm="r", nonce="n", uri="u""#);
        assert_eq!(missing, Err(DigestError::Missing("response")));
        assert_eq!(
            DigestCredentials::parse(r#"Digest username="a", username="b""#),
            Err(DigestError::Duplicate("username".into()))
        );
        assert_eq!(DigestCredentials::parse("Bearer abc"), Err(DigestError::OtherScheme));
        for text in [
            "Digest",
            "Digest username",
            "Digest username=\"a",
            "Digest =a",
            "Digest a=\"x\" b=1",
            "Digest a=\"\\",
        ] {
            assert_eq!(DigestCredentials::parse(text), Err(DigestError::Malformed), "{text}");
        }
    }

    #[test]
    fn responses_are_not_printed_by_debug() {
        let credentials = DigestCredentials { response: "5ec2e7".into(), ..Default::default() };
        assert!(!format!("{credentials:?}").contains("5ec2e7"));
    }
}
