//! Who users are.

use std::collections::BTreeMap;

use mcx_types::{McId, McService, McServiceId, McSystemId, Subject, Timestamp};
use uuid::Uuid;

use super::scopes::Scopes;

/// Who a user is in each MC service.
pub(crate) type ServiceIdentities = BTreeMap<McService, McServiceId>;

/// Whether a user may log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AccountState {
    Enabled,
    Disabled,
}

/// What an operator says of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AccountTerms {
    pub(crate) mc_id: McId,
    pub(crate) display_name: String,
    pub(crate) service_identities: ServiceIdentities,
    pub(crate) scopes: Scopes,
    pub(crate) state: AccountState,
}

impl AccountTerms {
    /// Whether tokens issued under `self` would say what is wrong under `after`.
    pub(crate) fn tokens_are_void_under(&self, after: &Self) -> bool {
        after.state == AccountState::Disabled
            || self.service_identities != after.service_identities
            || !self.scopes.is_subset_of(&after.scopes)
    }
}

/// A user of this MC system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) subject: Subject,
    pub(crate) terms: AccountTerms,
    /// Whether she has a password.
    pub(crate) has_password: bool,
}

/// A user of a partner who migrates here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VisitorTerms {
    pub(crate) migration_id: Uuid,
    pub(crate) primary: McSystemId,
    pub(crate) primary_issuer: String,
    pub(crate) primary_subject: Subject,
    pub(crate) service_identities: ServiceIdentities,
    pub(crate) scopes: Scopes,
    pub(crate) valid_until: Option<Timestamp>,
}

/// A visitor as she is mapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Visitor {
    pub(crate) subject: Subject,
    pub(crate) terms: VisitorTerms,
}

impl VisitorTerms {
    pub(crate) fn is_valid_at(&self, now: Timestamp) -> bool {
        self.valid_until.is_none_or(|until| now < until)
    }

    /// Whether tokens issued under `self` would say what is wrong under `after`.
    pub(crate) fn tokens_are_void_under(&self, after: &Self) -> bool {
        self.service_identities != after.service_identities
            || !self.scopes.is_subset_of(&after.scopes)
            || after.valid_until.is_some_and(|after| self.valid_until.is_none_or(|before| after < before))
    }
}

/// Where an own user may go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExchangeTarget {
    pub(crate) migration_id: Uuid,
    pub(crate) subject: Subject,
    pub(crate) partner: McSystemId,
    pub(crate) resource: String,
    pub(crate) valid_until: Option<Timestamp>,
}

/// Whom a token is issued to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Holder {
    /// An own user.
    Own(Account),
    /// A visitor.
    Visitor(Visitor),
}

impl Holder {
    pub(crate) fn subject(&self) -> &Subject {
        match self {
            Self::Own(account) => &account.subject,
            Self::Visitor(visitor) => &visitor.subject,
        }
    }

    pub(crate) fn service_identities(&self) -> &ServiceIdentities {
        match self {
            Self::Own(account) => &account.terms.service_identities,
            Self::Visitor(visitor) => &visitor.terms.service_identities,
        }
    }

    /// The scopes that she may have at most.
    pub(crate) fn scopes(&self) -> &Scopes {
        match self {
            Self::Own(account) => &account.terms.scopes,
            Self::Visitor(visitor) => &visitor.terms.scopes,
        }
    }

    /// Whether she may have tokens.
    pub(crate) fn is_admitted_at(&self, now: Timestamp) -> bool {
        match self {
            Self::Own(account) => account.terms.state == AccountState::Enabled,
            Self::Visitor(visitor) => visitor.terms.is_valid_at(now),
        }
    }

    /// When she may have none any more, where that is known.
    pub(crate) fn ends_at(&self) -> Option<Timestamp> {
        match self {
            Self::Own(_) => None,
            Self::Visitor(visitor) => visitor.terms.valid_until,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms() -> AccountTerms {
        AccountTerms {
            mc_id: "alice@alpha.example".parse().unwrap(),
            display_name: String::new(),
            service_identities: [(McService::Ptt, "sip:alice@alpha.example".parse().unwrap())].into(),
            scopes: Scopes::requested("3gpp:mc:ptt_service 3gpp:mc:data_service"),
            state: AccountState::Enabled,
        }
    }

    #[test]
    fn tokens_that_would_say_too_much_are_void() {
        type Change = fn(&mut AccountTerms);
        let before = terms();
        let cases: [(&str, Change, bool); 5] = [
            ("other name", |terms| terms.display_name = "Alice".to_owned(), false),
            (
                "more scopes",
                |terms| terms.scopes = Scopes::requested("openid 3gpp:mc:ptt_service 3gpp:mc:data_service"),
                false,
            ),
            ("fewer scopes", |terms| terms.scopes = Scopes::requested("3gpp:mc:ptt_service"), true),
            ("other identities", |terms| terms.service_identities.clear(), true),
            ("disabled", |terms| terms.state = AccountState::Disabled, true),
        ];
        for (name, change, expected) in cases {
            let mut after = before.clone();
            change(&mut after);
            assert_eq!(before.tokens_are_void_under(&after), expected, "{name}");
        }
    }
}
