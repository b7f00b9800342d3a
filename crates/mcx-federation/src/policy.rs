//! Who may call which method, in one table. No row means denied.

mod table;

use std::collections::HashMap;

use mcx_types::{Entity, McSystemId, Principal};

pub use table::RULES;

use crate::access_token::{AuthenticatedUser, Scope};
use crate::{Connection, Listener};

/// One who may call a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Caller {
    /// This entity of the own system.
    OwnEntity(Entity),
    /// Any operator of the own system.
    OwnOperator,
    /// This entity of any partner system.
    PartnerEntity(Entity),
    /// Any user whose access token has this scope, on [`Listener::Client`].
    User(Scope),
    /// Any user with an access token, whatever its scopes, on [`Listener::Client`].
    AnyUser,
    /// Whoever the listener lets in: on [`Listener::Client`] everybody, without an access token.
    Anyone,
}

impl Caller {
    fn covers(
        self,
        own_system: &McSystemId,
        connection: &Connection,
        user: Option<&AuthenticatedUser>,
    ) -> bool {
        let Connection::Certified(connection) = connection else {
            return match self {
                Self::Anyone => true,
                Self::AnyUser => user.is_some(),
                Self::User(scope) => user.is_some_and(|user| user.scopes.contains(&scope)),
                _ => false,
            };
        };
        let is_own = connection.peer.mc_system_id() == own_system;
        match (self, connection.peer.principal()) {
            (Self::Anyone, _) => true,
            (Self::OwnEntity(wanted), Principal::Entity(entity)) => is_own && wanted == *entity,
            (Self::OwnOperator, Principal::Operator(_)) => is_own,
            (Self::PartnerEntity(wanted), Principal::Entity(entity)) => !is_own && wanted == *entity,
            _ => false,
        }
    }
}

/// A row: who may call this method on this listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MethodRule {
    /// The path of the method, `/package.Service/Method`.
    pub method: &'static str,
    /// The listener it is served on; a method on both has two rows.
    pub listener: Listener,
    /// Any of these may call it.
    pub callers: &'static [Caller],
}

/// Why a call is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denial {
    /// The table does not know the method.
    #[error("the method has no rule")]
    NoRule,
    /// The method is served on other listeners only.
    #[error("the method is not served on this listener")]
    WrongListener,
    /// The caller is not among those who may call the method.
    #[error("the caller may not call this method")]
    CallerNotAllowed,
    /// The user's access token has none of the scopes that would do; see [`PolicyTable::scopes_of`].
    #[error("the access token has no scope for this method")]
    ScopeMissing,
}

/// The answer of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The call may go on.
    Allow,
    /// It may not.
    Deny(Denial),
}

/// A table with two rows for the same method and listener, of which one would be ignored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{method} has two rules on the {listener} listener")]
pub struct DuplicateRule {
    /// The method.
    pub method: &'static str,
    /// The listener.
    pub listener: Listener,
}

/// The rules of one system.
#[derive(Debug, Clone)]
pub struct PolicyTable {
    own_system: McSystemId,
    callers: HashMap<(&'static str, Listener), &'static [Caller]>,
}

impl PolicyTable {
    /// The table of these rows, seen from `own_system`; production uses [`RULES`].
    ///
    /// # Errors
    /// [`DuplicateRule`]
    pub fn new(own_system: McSystemId, rules: &[MethodRule]) -> Result<Self, DuplicateRule> {
        let mut callers = HashMap::with_capacity(rules.len());
        for rule in rules {
            if callers.insert((rule.method, rule.listener), rule.callers).is_some() {
                return Err(DuplicateRule { method: rule.method, listener: rule.listener });
            }
        }
        Ok(Self { own_system, callers })
    }

    /// Whether the caller at the other end of `connection` may call `method` (`/package.Service/Method`). `user` is the one whose
    /// access token came with the call; it counts only where no certificate does.
    pub fn decide(
        &self,
        method: &str,
        connection: &Connection,
        user: Option<&AuthenticatedUser>,
    ) -> Decision {
        let listener = connection.listener();
        let Some(callers) = self.callers_of(method, listener) else {
            let is_served_elsewhere =
                Listener::ALL.iter().any(|listener| self.callers_of(method, *listener).is_some());
            return Decision::Deny(if is_served_elsewhere { Denial::WrongListener } else { Denial::NoRule });
        };
        if callers.iter().any(|caller| caller.covers(&self.own_system, connection, user)) {
            Decision::Allow
        } else if listener == Listener::Client && user.is_some() && !self.scopes_of(method).is_empty() {
            Decision::Deny(Denial::ScopeMissing)
        } else {
            Decision::Deny(Denial::CallerNotAllowed)
        }
    }

    /// Whether `method` may be called on `listener` by whoever it lets in: on [`Listener::Client`], without an access token.
    pub fn is_for_anyone(&self, method: &str, listener: Listener) -> bool {
        self.callers_of(method, listener).is_some_and(|callers| callers.contains(&Caller::Anyone))
    }

    /// The scopes any of which lets a user call `method` on [`Listener::Client`].
    pub fn scopes_of(&self, method: &str) -> Vec<Scope> {
        let callers = self.callers_of(method, Listener::Client).unwrap_or_default();
        let scope_of = |caller: &Caller| match caller {
            Caller::User(scope) => Some(*scope),
            _ => None,
        };
        callers.iter().filter_map(scope_of).collect()
    }

    /// Who may call `method` on `listener`; none without a row.
    pub fn callers_of(&self, method: &str, listener: Listener) -> Option<&'static [Caller]> {
        self.callers.get(&(method, listener)).copied()
    }
}

#[cfg(test)]
mod tests {
    use mcx_types::Timestamp;

    use super::*;
    use crate::{ClientConnection, ConnectionInfo, Sha256Fingerprint};

    const ASK: &str = "/mcx.test.v1.TestService/Ask";
    const EDIT: &str = "/mcx.test.v1.TestService/Edit";
    const AFFILIATE: &str = "/mcx.test.v1.TestService/Affiliate";
    const WHO_AM_I: &str = "/mcx.test.v1.TestService/WhoAmI";
    const WELCOME: &str = "/mcx.test.v1.TestService/Welcome";
    const TEST_RULES: &[MethodRule] = &[
        MethodRule {
            method: ASK,
            listener: Listener::Peer,
            callers: &[Caller::PartnerEntity(Entity::MigrationManagement)],
        },
        MethodRule {
            method: EDIT,
            listener: Listener::Internal,
            callers: &[Caller::OwnOperator, Caller::OwnEntity(Entity::SipCore)],
        },
        MethodRule {
            method: AFFILIATE,
            listener: Listener::Client,
            callers: &[Caller::User(Scope::PttService), Caller::User(Scope::DataService)],
        },
        MethodRule { method: WHO_AM_I, listener: Listener::Client, callers: &[Caller::AnyUser] },
        MethodRule { method: WELCOME, listener: Listener::Client, callers: &[Caller::Anyone] },
        // A row that nobody meets: there are no users here.
        MethodRule { method: WHO_AM_I, listener: Listener::Internal, callers: &[Caller::AnyUser] },
    ];

    fn decide(method: &str, peer: &str, listener: Listener) -> Decision {
        let table = PolicyTable::new("alpha.example".parse().unwrap(), TEST_RULES).unwrap();
        table.decide(method, &connection(peer, listener), None)
    }

    fn connection(peer: &str, listener: Listener) -> Connection {
        Connection::Certified(ConnectionInfo {
            peer: peer.parse().unwrap(),
            certificate_sha256: Sha256Fingerprint([0; 32]),
            not_after: Timestamp::from_micros(0),
            remote_address: ([127, 0, 0, 1], 1).into(),
            listener,
        })
    }

    fn of_a_ue() -> Connection {
        Connection::Client(ClientConnection { remote_address: ([127, 0, 0, 1], 1).into() })
    }

    fn user(scopes: &[Scope]) -> AuthenticatedUser {
        AuthenticatedUser {
            subject: "7f9c".parse().unwrap(),
            mc_id: None,
            client_id: "mcx-ue".to_owned(),
            token_id: "token-1".to_owned(),
            scopes: scopes.iter().copied().collect(),
            service_ids: Default::default(),
            visitor_of: None,
            issued_at: Timestamp::from_micros(0),
            expires_at: Timestamp::from_micros(0),
        }
    }

    #[test]
    fn method_without_a_row_is_denied_for_everybody() {
        for listener in [Listener::Internal, Listener::Peer] {
            let decision =
                decide("/mcx.test.v1.TestService/Other", "spiffe://alpha.example/operator/o", listener);
            assert_eq!(decision, Decision::Deny(Denial::NoRule));
        }
    }

    #[test]
    fn each_caller_gets_what_his_row_says() {
        use Listener::{Internal, Peer};
        const NOT_ALLOWED: Decision = Decision::Deny(Denial::CallerNotAllowed);
        const WRONG_LISTENER: Decision = Decision::Deny(Denial::WrongListener);
        let cases = [
            (ASK, "spiffe://bravo.example/migration-management", Peer, Decision::Allow),
            (ASK, "spiffe://bravo.example/sip-core", Peer, NOT_ALLOWED),
            (ASK, "spiffe://bravo.example/operator/o", Peer, NOT_ALLOWED),
            (ASK, "spiffe://alpha.example/migration-management", Peer, NOT_ALLOWED),
            (ASK, "spiffe://alpha.example/migration-management", Internal, WRONG_LISTENER),
            (EDIT, "spiffe://alpha.example/operator/o", Internal, Decision::Allow),
            (EDIT, "spiffe://alpha.example/sip-core", Internal, Decision::Allow),
            (EDIT, "spiffe://alpha.example/sip-database", Internal, NOT_ALLOWED),
            (EDIT, "spiffe://bravo.example/sip-core", Internal, NOT_ALLOWED),
            (EDIT, "spiffe://bravo.example/operator/o", Internal, NOT_ALLOWED),
            (EDIT, "spiffe://bravo.example/operator/o", Peer, WRONG_LISTENER),
        ];
        for (method, peer, listener, expected) in cases {
            assert_eq!(decide(method, peer, listener), expected, "{peer} calls {method} on {listener}");
        }
    }

    #[test]
    fn users_get_what_the_scopes_of_their_tokens_say() {
        const NOT_ALLOWED: Decision = Decision::Deny(Denial::CallerNotAllowed);
        let table = PolicyTable::new("alpha.example".parse().unwrap(), TEST_RULES).unwrap();
        let (data, openid) = (user(&[Scope::DataService]), user(&[Scope::OpenId]));
        let cases = [
            (AFFILIATE, Some(&data), Decision::Allow),
            (AFFILIATE, Some(&openid), Decision::Deny(Denial::ScopeMissing)),
            (AFFILIATE, None, NOT_ALLOWED),
            (WHO_AM_I, Some(&openid), Decision::Allow),
            (WHO_AM_I, None, NOT_ALLOWED),
            (WELCOME, None, Decision::Allow),
            (EDIT, Some(&data), Decision::Deny(Denial::WrongListener)),
        ];
        for (method, user, expected) in cases {
            assert_eq!(table.decide(method, &of_a_ue(), user), expected, "{user:?} calls {method}");
        }
        assert_eq!(table.scopes_of(AFFILIATE), [Scope::PttService, Scope::DataService]);
        assert!(table.is_for_anyone(WELCOME, Listener::Client));
        assert!(!table.is_for_anyone(WHO_AM_I, Listener::Client));
    }

    #[test]
    fn token_counts_for_nothing_where_a_certificate_counts() {
        let table = PolicyTable::new("alpha.example".parse().unwrap(), TEST_RULES).unwrap();
        let connection = connection("spiffe://alpha.example/sip-database", Listener::Internal);
        let decision = table.decide(WHO_AM_I, &connection, Some(&user(Scope::ALL)));
        assert_eq!(decision, Decision::Deny(Denial::CallerNotAllowed));
    }

    #[test]
    fn two_rows_for_one_method_and_listener_are_refused() {
        let twice = [TEST_RULES[0], TEST_RULES[0]];
        let refused = PolicyTable::new("alpha.example".parse().unwrap(), &twice).err();
        assert_eq!(refused, Some(DuplicateRule { method: ASK, listener: Listener::Peer }));
    }

    #[test]
    fn health_is_for_everybody_on_every_listener() {
        let table = PolicyTable::new("alpha.example".parse().unwrap(), &RULES).unwrap();
        for connection in [
            connection("spiffe://alpha.example/operator/o", Listener::Internal),
            connection("spiffe://bravo.example/sip-core", Listener::Peer),
            of_a_ue(),
        ] {
            let decision = table.decide("/grpc.health.v1.Health/Check", &connection, None);
            assert_eq!(decision, Decision::Allow);
        }
    }
}
