//! Who may call which method, in one table. No row means denied.

mod table;

use std::collections::HashMap;

use mcx_types::{Entity, McSystemId, Principal};

pub use table::RULES;

use crate::{ConnectionInfo, Listener};

/// One who may call a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Caller {
    /// This entity of the own system.
    OwnEntity(Entity),
    /// Any operator of the own system.
    OwnOperator,
    /// This entity of any partner system.
    PartnerEntity(Entity),
    /// Whoever the listener lets in.
    Anyone,
}

impl Caller {
    fn covers(self, own_system: &McSystemId, connection: &ConnectionInfo) -> bool {
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
    /// The method is served on the other listener only.
    #[error("the method is not served on this listener")]
    WrongListener,
    /// The caller is not among those who may call the method.
    #[error("the caller may not call this method")]
    CallerNotAllowed,
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

    /// Whether the caller at the other end of `connection` may call `method` (`/package.Service/Method`).
    pub fn decide(&self, method: &str, connection: &ConnectionInfo) -> Decision {
        let Some(callers) = self.callers_of(method, connection.listener) else {
            let other = match connection.listener {
                Listener::Internal => Listener::Peer,
                Listener::Peer => Listener::Internal,
            };
            let is_served_elsewhere = self.callers_of(method, other).is_some();
            return Decision::Deny(if is_served_elsewhere { Denial::WrongListener } else { Denial::NoRule });
        };
        if callers.iter().any(|caller| caller.covers(&self.own_system, connection)) {
            Decision::Allow
        } else {
            Decision::Deny(Denial::CallerNotAllowed)
        }
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
    use crate::Sha256Fingerprint;

    const ASK: &str = "/mcx.test.v1.TestService/Ask";
    const EDIT: &str = "/mcx.test.v1.TestService/Edit";
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
    ];

    fn decide(method: &str, peer: &str, listener: Listener) -> Decision {
        let table = PolicyTable::new("alpha.example".parse().unwrap(), TEST_RULES).unwrap();
        table.decide(method, &connection(peer, listener))
    }

    fn connection(peer: &str, listener: Listener) -> ConnectionInfo {
        ConnectionInfo {
            peer: peer.parse().unwrap(),
            certificate_sha256: Sha256Fingerprint([0; 32]),
            not_after: Timestamp::from_micros(0),
            remote_address: ([127, 0, 0, 1], 1).into(),
            listener,
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
    fn two_rows_for_one_method_and_listener_are_refused() {
        let twice = [TEST_RULES[0], TEST_RULES[0]];
        let refused = PolicyTable::new("alpha.example".parse().unwrap(), &twice).err();
        assert_eq!(refused, Some(DuplicateRule { method: ASK, listener: Listener::Peer }));
    }

    #[test]
    fn health_is_for_everybody_on_both_listeners() {
        let table = PolicyTable::new("alpha.example".parse().unwrap(), &RULES).unwrap();
        for (peer, listener) in [
            ("spiffe://alpha.example/operator/o", Listener::Internal),
            ("spiffe://bravo.example/sip-core", Listener::Peer),
        ] {
            let decision = table.decide("/grpc.health.v1.Health/Check", &connection(peer, listener));
            assert_eq!(decision, Decision::Allow);
        }
    }
}
