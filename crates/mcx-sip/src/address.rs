//! Addresses: `name-addr` and `addr-spec` of RFC 3261 20.10, lists of them, and SIP URIs.

use ezk_sip_types::host::Host;
use ezk_sip_types::uri::SipUri;

/// Why an address is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// A quote or an angle bracket is never closed, or text stands where none may.
    #[error("malformed address")]
    Malformed,
    /// The URI scheme is neither `sip` nor `sips`.
    #[error("URI scheme is not sip or sips")]
    UnknownScheme,
}

/// A display name, a URI and header parameters: one element of `To`, `From`, `Contact`, `Path`…
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameAddress {
    /// The URI as written, any scheme.
    pub uri: String,
    /// Header parameters in order, names as written, values without their quotes' removal.
    pub parameters: Vec<(String, Option<String>)>,
}

impl NameAddress {
    /// Parses one address.
    ///
    /// # Errors
    /// [`AddressError::Malformed`] when brackets or quotes do not pair or the URI has no scheme.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        let (uri, rest) = match find_outside_quotes(text, b'<')? {
            Some(open) => {
                let close = text[open..].find('>').ok_or(AddressError::Malformed)? + open;
                (&text[open + 1..close], text[close + 1..].trim_start())
            }
            // In an addr-spec without brackets every parameter is a header parameter (RFC 3261 20).
            None => match text.find(';') {
                Some(end) => (&text[..end], &text[end..]),
                None => (text, ""),
            },
        };
        let uri = uri.trim();
        let has_scheme =
            uri.split_once(':').is_some_and(|(scheme, rest)| is_scheme(scheme) && !rest.is_empty());
        if !has_scheme || uri.contains(['<', '>', '"', ' ', '\t']) {
            return Err(AddressError::Malformed);
        }
        Ok(Self { uri: uri.to_owned(), parameters: parse_parameters(rest)? })
    }

    /// Parses a comma-separated list, spread over any number of header lines.
    ///
    /// # Errors
    /// As [`NameAddress::parse`]; one bad element spoils the list.
    pub fn parse_list<'a>(values: impl IntoIterator<Item = &'a str>) -> Result<Vec<Self>, AddressError> {
        let mut addresses = Vec::new();
        for value in values {
            for element in split_list(value)? {
                addresses.push(Self::parse(element)?);
            }
        }
        Ok(addresses)
    }

    /// The value of a parameter, without quotes; names compare without case.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(candidate, _)| candidate.eq_ignore_ascii_case(name))
            .and_then(|(_, value)| value.as_deref())
            .map(|value| value.trim_matches('"'))
    }
}

/// A parsed `sip:` or `sips:` URI, reduced to what comparisons (RFC 3261 19.1.4) and routing need.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SipAddress {
    /// `true` for `sips:`.
    pub secure: bool,
    /// The user part, percent-decoded; empty when there is none.
    pub user: String,
    /// The host in lower case (an IPv6 address in brackets).
    pub host: String,
    /// The port, when one is written.
    pub port: Option<u16>,
    /// The parameters that take part in every comparison (`transport`, `user`, `ttl`, `method`, `maddr`), lower case, sorted.
    pub parameters: Vec<(String, String)>,
}

impl SipAddress {
    /// Parses a SIP or SIPS URI.
    ///
    /// # Errors
    /// [`AddressError::UnknownScheme`] for another scheme, [`AddressError::Malformed`] otherwise.
    pub fn parse(uri: &str) -> Result<Self, AddressError> {
        let scheme = uri.split_once(':').map(|(scheme, _)| scheme).ok_or(AddressError::Malformed)?;
        if !is_scheme(scheme) {
            return Err(AddressError::Malformed);
        }
        if !scheme.eq_ignore_ascii_case("sip") && !scheme.eq_ignore_ascii_case("sips") {
            return Err(AddressError::UnknownScheme);
        }
        let parsed: SipUri = uri.parse().map_err(|_| AddressError::Malformed)?;
        let user = match uri[scheme.len() + 1..].split_once('@') {
            Some((user, _)) => percent_decode(user.split(':').next().unwrap_or(user))?,
            None => String::new(),
        };
        let host = match &parsed.host_port.host {
            Host::Name(name) => name.as_str().trim_end_matches('.').to_ascii_lowercase(),
            address => address.to_string(),
        };
        let mut parameters: Vec<(String, String)> = ["maddr", "method", "transport", "ttl", "user"]
            .into_iter()
            .filter_map(|name| {
                let value = parsed.uri_params.get_val(name)?;
                Some((name.to_owned(), value.to_ascii_lowercase()))
            })
            .collect();
        parameters.sort();
        Ok(Self { secure: parsed.sips, user, host, port: parsed.host_port.port, parameters })
    }
}

fn percent_decode(text: &str) -> Result<String, AddressError> {
    let mut octets = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            octets.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let (Some(high), Some(low)) = (digit(), digit()) else { return Err(AddressError::Malformed) };
        octets.push(u8::try_from(high * 16 + low).map_err(|_| AddressError::Malformed)?);
    }
    String::from_utf8(octets).map_err(|_| AddressError::Malformed)
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

/// Splits at commas that stand outside quotes and angle brackets; empty elements are refused.
pub(crate) fn split_list(text: &str) -> Result<Vec<&str>, AddressError> {
    split_outside(text, b',')
}

fn parse_parameters(text: &str) -> Result<Vec<(String, Option<String>)>, AddressError> {
    let Some(rest) = text.strip_prefix(';') else {
        return if text.trim().is_empty() { Ok(Vec::new()) } else { Err(AddressError::Malformed) };
    };
    split_outside(rest, b';')?
        .into_iter()
        .map(|parameter| match parameter.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => {
                Ok((name.trim().to_owned(), Some(value.trim().to_owned())))
            }
            Some(_) => Err(AddressError::Malformed),
            None => Ok((parameter.to_owned(), None)),
        })
        .collect()
}

fn split_outside(text: &str, separator: u8) -> Result<Vec<&str>, AddressError> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut quoted = false;
    let mut escaped = false;
    let mut bracketed = false;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'<' if !quoted => bracketed = true,
            b'>' if !quoted => bracketed = false,
            _ if byte == separator && !quoted && !bracketed => {
                parts.push(text[start..index].trim());
                start = index + 1;
            }
            _ => {}
        }
    }
    parts.push(text[start..].trim());
    if quoted || bracketed || parts.iter().any(|part| part.is_empty()) {
        return Err(AddressError::Malformed);
    }
    Ok(parts)
}

fn find_outside_quotes(text: &str, wanted: u8) -> Result<Option<usize>, AddressError> {
    let mut quoted = false;
    let mut escaped = false;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if byte == wanted && !quoted => return Ok(Some(index)),
            _ => {}
        }
    }
    if quoted { Err(AddressError::Malformed) } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_split_outside_quotes_and_brackets() {
        let list = NameAddress::parse_list([
            r#""Fire, crew" <sip:a@b.example;x=1,2>;q=0.5;expires=60, sip:c@d.example;expires=0"#,
            r#"<sips:e@f.example>;+g.3gpp.icsi-ref="urn%3Aurn-7%3A3gpp-service.ims.icsi.mcptt""#,
        ])
        .unwrap();
        assert_eq!(list.len(), 3);
        assert_eq!(list[0].uri, "sip:a@b.example;x=1,2");
        assert_eq!(list[0].parameter("Q"), Some("0.5"));
        assert_eq!(list[1].uri, "sip:c@d.example");
        assert_eq!(list[1].parameter("expires"), Some("0"));
        assert_eq!(list[2].parameter("+g.3gpp.icsi-ref"), Some("urn%3Aurn-7%3A3gpp-service.ims.icsi.mcptt"));
    }

    #[test]
    fn unbalanced_addresses_are_refused() {
        for text in
            ["", "<sip:a@b", "\"x <sip:a@b>", "<sip:a@b> trailing", "a@b", "<>", "<sip:a b@c>", "sip:"]
        {
            assert_eq!(NameAddress::parse(text), Err(AddressError::Malformed), "{text}");
        }
        assert_eq!(NameAddress::parse_list(["<sip:a@b>,,<sip:c@d>"]), Err(AddressError::Malformed));
    }

    #[test]
    fn equal_sip_uris_have_equal_addresses() {
        let left = SipAddress::parse("SIP:%61lice@Host.Example:5060;transport=TCP;ob").unwrap();
        let right = SipAddress::parse("sip:alice@host.example:5060;transport=tcp").unwrap();
        assert_eq!(left, right);
        assert_ne!(right, SipAddress::parse("sip:alice@host.example;transport=tcp").unwrap());
        assert_eq!(SipAddress::parse("tel:+123"), Err(AddressError::UnknownScheme));
        assert_eq!(SipAddress::parse("nonsense"), Err(AddressError::Malformed));
    }
}
