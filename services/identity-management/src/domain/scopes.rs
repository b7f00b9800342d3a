//! What tokens are good for.

use std::collections::BTreeSet;
use std::fmt;

use mcx_federation::access_token::Scope;

/// Scopes, each once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Scopes(pub(crate) BTreeSet<Scope>);

impl Scopes {
    /// Reads the `scope` of a request (RFC 6749 3.3). What is not known is left out, as OpenID Connect Core 3.1.2.1 wants.
    pub(crate) fn requested(text: &str) -> Self {
        Self(text.split(' ').filter_map(|scope| scope.parse().ok()).collect())
    }

    /// Those that are in both, and `openid`, which everybody may ask for.
    pub(crate) fn granted_out_of(&self, allowed: &Self) -> Self {
        let is_granted = |scope: &&Scope| **scope == Scope::OpenId || allowed.0.contains(*scope);
        Self(self.0.iter().filter(is_granted).copied().collect())
    }

    pub(crate) fn contains(&self, scope: Scope) -> bool {
        self.0.contains(&scope)
    }

    pub(crate) fn is_subset_of(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.0.iter().map(Scope::to_string).collect()
    }
}

/// As `scope` is written: separated by spaces.
impl fmt::Display for Scopes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.names().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_and_allowed_scopes_are_granted() {
        let allowed = Scopes::requested("3gpp:mc:ptt_service 3gpp:mc:data_service");
        let requested = Scopes::requested("openid  3gpp:mc:ptt_service 3gpp:mc:video_service profile");
        assert_eq!(requested.granted_out_of(&allowed).to_string(), "openid 3gpp:mc:ptt_service");
        assert!(Scopes::requested("").is_empty());
    }
}
