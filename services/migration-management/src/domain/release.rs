//! The primary's checks before a vector leaves for a partner.
//!
//! TS 23.280 10.1.6.2 says nothing of them. They are the list that `docs/federation.md` explains to operators: the caller is who
//! its certificate proves (checked by the channel), the agreement is in force and covers the request, only one vector and only by
//! AKA, and the user has a permit for exactly that partner under exactly that partner identity. Rate limits, and whether the SIP
//! database knows the identities and bars the subscriber, are asked behind these, because they cost input and output.

use mcx_types::{Impi, McSystemId, SipIdentities, Timestamp};

use super::agreement::{Agreement, PartnerCapability};
use super::permit::{NotPermitted, Permit};
use super::refusal::Refusal;

/// What a partner asks of this MC system as primary (TS 23.280 10.1.6.2 step 4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseRequest {
    /// The partner, as its certificate proves.
    pub partner: McSystemId,
    /// The identities of the user in this MC system.
    pub primary_identities: SipIdentities,
    /// The private user identity that the partner allotted to the user.
    pub partner_impi: Impi,
    /// How many vectors.
    pub vector_count: u32,
}

/// Checks a request against the agreement with the partner that asks and the user's permit for it.
///
/// # Errors
/// The first [`Refusal`], in the order in which the checks are listed above.
pub fn check_release(
    request: &ReleaseRequest,
    agreement: Option<&Agreement>,
    permit: Option<&Permit>,
    now: Timestamp,
) -> Result<(), Refusal> {
    let mc_system_id = &request.partner;
    let agreement =
        agreement.ok_or_else(|| Refusal::AgreementUnknown { mc_system_id: mc_system_id.clone() })?;
    agreement.check_in_force(now)?;
    agreement.check_capability(PartnerCapability::SipAuthenticationInformation)?;
    if request.vector_count > 1 {
        return Err(Refusal::VectorCountExceeded { vector_count: request.vector_count });
    }
    let permit = permit.ok_or_else(|| Refusal::MigrationNotPermitted {
        mc_system_id: mc_system_id.clone(),
        cause: NotPermitted::NoPermit,
    })?;
    permit.check_covers(&request.partner_impi, now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::agreement::AgreementState;
    use crate::domain::samples;

    const NOW: Timestamp = Timestamp::from_micros(100);

    #[test]
    fn permitted_user_is_released_to_the_agreed_partner() {
        let agreement = samples::agreement("bravo.example");
        assert_eq!(
            check_release(&samples::release_request(), Some(&agreement), Some(&samples::permit()), NOW),
            Ok(())
        );
    }

    #[test]
    fn nothing_is_released_without_an_agreement() {
        let mc_system_id = samples::release_request().partner;
        assert_eq!(
            check_release(&samples::release_request(), None, Some(&samples::permit()), NOW),
            Err(Refusal::AgreementUnknown { mc_system_id })
        );
    }

    #[test]
    fn agreement_is_checked_before_the_user_is_looked_at() {
        let suspended = Agreement { state: AgreementState::Suspended, ..samples::agreement("bravo.example") };
        let mc_system_id = samples::release_request().partner;
        assert_eq!(
            check_release(&samples::release_request(), Some(&suspended), None, NOW),
            Err(Refusal::AgreementSuspended { mc_system_id })
        );
    }

    #[test]
    fn agreement_without_the_capability_releases_nothing() {
        let silent = Agreement { partner_may_ask: Vec::new(), ..samples::agreement("bravo.example") };
        assert!(matches!(
            check_release(&samples::release_request(), Some(&silent), Some(&samples::permit()), NOW),
            Err(Refusal::NotAgreed { .. })
        ));
    }

    #[test]
    fn only_one_vector_crosses_systems() {
        let greedy = ReleaseRequest { vector_count: 2, ..samples::release_request() };
        let agreement = samples::agreement("bravo.example");
        assert_eq!(
            check_release(&greedy, Some(&agreement), Some(&samples::permit()), NOW),
            Err(Refusal::VectorCountExceeded { vector_count: 2 })
        );
    }

    #[test]
    fn user_without_permit_is_not_spoken_of() {
        let agreement = samples::agreement("bravo.example");
        assert!(matches!(
            check_release(&samples::release_request(), Some(&agreement), None, NOW),
            Err(Refusal::MigrationNotPermitted { cause: NotPermitted::NoPermit, .. })
        ));
    }
}
