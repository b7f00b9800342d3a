//! Bindings: which visitor's SIP identities stand for which user of which primary MC system.

use mcx_types::{Impu, McSystemId, SipIdentities, Timestamp, Validity};
use uuid::Uuid;

use super::refusal::Refusal;

/// What ties a visitor of this MC system to a user of her primary MC system (TS 23.280 10.1.6.2 pre-condition 4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The identifier.
    pub id: Uuid,
    /// What is bound.
    pub terms: BindingTerms,
    /// The user migration that made it and keeps it; `None`: an operator did.
    pub kept_by: Option<Uuid>,
}

/// What a binding says, apart from who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindingTerms {
    /// The SIP identities that this MC system allotted to the visitor.
    pub partner_identities: SipIdentities,
    /// The SIP identities of the same user in her primary MC system.
    pub primary_identities: SipIdentities,
    /// The primary MC system.
    pub primary_mc_system_id: McSystemId,
    /// How the visitor is authenticated.
    pub signalling_access: SignallingAccess,
    /// Whether the binding is in use.
    pub state: UseState,
    /// When it is valid.
    pub validity: Validity,
}

/// How a visitor is authenticated on the signalling plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignallingAccess {
    /// By vectors from the primary MC system, TS 23.280 10.1.6.2.
    FederatedAuth,
    /// By credentials that the partner MC system's own SIP database holds.
    LocalCredentials,
}

/// Whether a binding or a permit is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UseState {
    /// It is.
    Enabled,
    /// An operator stopped its use for now.
    Suspended,
}

impl Binding {
    /// Whether the visitor may be authenticated through her primary MC system at `now`, under the public user identities
    /// that she registers (step 3 of TS 23.280 10.1.6.2).
    ///
    /// # Errors
    /// [`Refusal::IdentitiesDoNotMatch`], [`Refusal::BindingSuspended`], [`Refusal::BindingNotYetValid`],
    /// [`Refusal::BindingExpired`], [`Refusal::LocalCredentials`].
    pub fn check_usable(&self, impus: &[Impu], now: Timestamp) -> Result<(), Refusal> {
        let binding_id = self.id;
        let terms = &self.terms;
        if let Some(impu) = impus.iter().find(|impu| !terms.partner_identities.impus.contains(impu)) {
            return Err(Refusal::IdentitiesDoNotMatch {
                impi: terms.partner_identities.impi.clone(),
                impu: impu.clone(),
            });
        }
        if terms.state == UseState::Suspended {
            return Err(Refusal::BindingSuspended { binding_id });
        }
        if let Some(valid_from) = terms.validity.from.filter(|_| terms.validity.is_not_yet_valid(now)) {
            return Err(Refusal::BindingNotYetValid { binding_id, valid_from });
        }
        if let Some(valid_until) = terms.validity.until.filter(|_| terms.validity.is_expired(now)) {
            return Err(Refusal::BindingExpired { binding_id, valid_until });
        }
        match terms.signalling_access {
            SignallingAccess::FederatedAuth => Ok(()),
            SignallingAccess::LocalCredentials => Err(Refusal::LocalCredentials { binding_id }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::samples;

    const NOW: Timestamp = Timestamp::from_micros(100);

    fn check(change: impl FnOnce(&mut BindingTerms)) -> Result<(), Refusal> {
        let mut binding = samples::binding();
        let impus = binding.terms.partner_identities.impus.clone();
        change(&mut binding.terms);
        binding.check_usable(&impus, NOW)
    }

    #[test]
    fn enabled_binding_within_its_validity_is_usable() {
        assert_eq!(check(|_| ()), Ok(()));
    }

    #[test]
    fn unusable_binding_says_why() {
        let binding_id = samples::binding().id;
        assert_eq!(
            check(|terms| terms.state = UseState::Suspended),
            Err(Refusal::BindingSuspended { binding_id })
        );
        let valid_from = Timestamp::from_micros(101);
        assert_eq!(
            check(|terms| terms.validity.from = Some(valid_from)),
            Err(Refusal::BindingNotYetValid { binding_id, valid_from })
        );
        assert_eq!(
            check(|terms| terms.validity.until = Some(NOW)),
            Err(Refusal::BindingExpired { binding_id, valid_until: NOW })
        );
        assert_eq!(
            check(|terms| terms.signalling_access = SignallingAccess::LocalCredentials),
            Err(Refusal::LocalCredentials { binding_id })
        );
    }

    #[test]
    fn public_identity_of_another_visitor_is_refused() {
        let binding = samples::binding();
        let foreign: Impu = "sip:mallory@visitors.bravo.example".parse().unwrap();
        assert_eq!(
            binding.check_usable(std::slice::from_ref(&foreign), NOW),
            Err(Refusal::IdentitiesDoNotMatch {
                impi: binding.terms.partner_identities.impi.clone(),
                impu: foreign
            })
        );
    }
}
