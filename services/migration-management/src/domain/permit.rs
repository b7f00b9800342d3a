//! Permits: which own user may migrate to which partner MC system.

use mcx_types::{Impi, McSystemId, SipIdentities, Timestamp, Validity};
use uuid::Uuid;

use super::binding::UseState;
use super::refusal::Refusal;

/// Lets one user of this MC system migrate to one partner MC system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    /// The identifier.
    pub id: Uuid,
    /// What is permitted.
    pub terms: PermitTerms,
    /// The user migration that made it and keeps it; `None`: an operator did.
    pub kept_by: Option<Uuid>,
}

/// What a permit says, apart from who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PermitTerms {
    /// The user, by her SIP private user identity in this MC system.
    pub primary_impi: Impi,
    /// The partner MC system.
    pub partner: McSystemId,
    /// The SIP identities that the partner allotted to her.
    pub partner_identities: SipIdentities,
    /// Whether the permit is in use.
    pub state: UseState,
    /// When it is valid.
    pub validity: Validity,
}

impl Permit {
    /// Whether the partner may ask about the user at `now` under the private user identity that it names.
    ///
    /// # Errors
    /// [`Refusal::MigrationNotPermitted`], whatever the cause: a partner is not told more of users it has no permit for.
    pub fn check_covers(&self, partner_impi: &Impi, now: Timestamp) -> Result<(), Refusal> {
        let terms = &self.terms;
        let cause = if terms.partner_identities.impi != *partner_impi {
            NotPermitted::OtherPartnerIdentity
        } else if terms.state == UseState::Suspended {
            NotPermitted::PermitSuspended
        } else if terms.validity.is_not_yet_valid(now) {
            NotPermitted::PermitNotYetValid
        } else if terms.validity.is_expired(now) {
            NotPermitted::PermitExpired
        } else {
            return Ok(());
        };
        Err(Refusal::MigrationNotPermitted { mc_system_id: terms.partner.clone(), cause })
    }
}

/// Why a user may not migrate to a partner. Recorded and logged at home, never told to the partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotPermitted {
    /// There is no permit for the user and the partner.
    NoPermit,
    /// The permit names other identities at the partner.
    OtherPartnerIdentity,
    /// The permit is suspended.
    PermitSuspended,
    /// The permit's validity has not begun.
    PermitNotYetValid,
    /// The permit's validity is over.
    PermitExpired,
    /// The SIP database does not know the user.
    SubscriberUnknown,
    /// A public user identity is not of the user's private one.
    IdentitiesDoNotMatch,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::samples;

    const NOW: Timestamp = Timestamp::from_micros(100);

    fn cause_after(change: impl FnOnce(&mut PermitTerms)) -> Option<NotPermitted> {
        let mut permit = samples::permit();
        let partner_impi = permit.terms.partner_identities.impi.clone();
        change(&mut permit.terms);
        match permit.check_covers(&partner_impi, NOW) {
            Err(Refusal::MigrationNotPermitted { cause, .. }) => Some(cause),
            other => other.map(|()| None).unwrap(),
        }
    }

    #[test]
    fn permit_covers_exactly_the_agreed_identity_while_in_use_and_valid() {
        assert_eq!(cause_after(|_| ()), None);
        assert_eq!(
            cause_after(|terms| terms.state = UseState::Suspended),
            Some(NotPermitted::PermitSuspended)
        );
        assert_eq!(
            cause_after(|terms| terms.validity.from = Some(Timestamp::from_micros(101))),
            Some(NotPermitted::PermitNotYetValid)
        );
        assert_eq!(cause_after(|terms| terms.validity.until = Some(NOW)), Some(NotPermitted::PermitExpired));
        assert_eq!(
            cause_after(|terms| terms.partner_identities.impi = "eve@visitors.bravo.example".parse().unwrap()),
            Some(NotPermitted::OtherPartnerIdentity)
        );
    }
}
