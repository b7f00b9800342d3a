//! What an access token lets its user do.

use std::fmt;
use std::str::FromStr;

use mcx_types::McService;

/// Why a text is not a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a scope of an mc system")]
pub struct UnknownScope;

macro_rules! scopes {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A scope of an access token: which entities take it (TS 33.180 B.4.2.2).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Scope { $($(#[$doc])* $name,)* }

        impl Scope {
            /// Every scope.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name, for example `3gpp:mc:ptt_service`.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

scopes! {
    /// An ID token beside the access token (OpenID Connect Core 3.1.2.1).
    OpenId = "openid",
    /// The MCPTT service.
    PttService = "3gpp:mc:ptt_service",
    /// The MCVideo service.
    VideoService = "3gpp:mc:video_service",
    /// The MCData service.
    DataService = "3gpp:mc:data_service",
    /// Configuration management: the own user profiles and configurations.
    ConfigurationManagement = "3gpp:mc:config_management_service",
    /// Group management.
    GroupManagement = "3gpp:mc:group_management_service",
    /// Functional alias management.
    FunctionalAliasManagement = "3gpp:mc:functional_alias_management_service",
    /// Key management.
    KeyManagement = "3gpp:mc:key_management_service",
}

impl Scope {
    /// The scope of an MC service.
    pub fn of_service(service: McService) -> Self {
        match service {
            McService::Ptt => Self::PttService,
            McService::Video => Self::VideoService,
            McService::Data => Self::DataService,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|scope| scope.as_str() == text).ok_or(UnknownScope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scope_is_found_by_its_name() {
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(*scope));
        }
        assert_eq!("3gpp:mc:ptt_servic".parse::<Scope>(), Err(UnknownScope));
    }
}
