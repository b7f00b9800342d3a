//! The partner's checks: before it asks a visitor's primary MC system, and of what the primary answers.

use mcx_aka::digest::DigestAlgorithm;
use mcx_types::{Impi, SipIdentities, Timestamp};
use uuid::Uuid;

use super::agreement::Agreement;
use super::binding::Binding;
use super::refusal::Refusal;

/// Step 3 of TS 23.280 10.1.6.2: recognises the partner SIP identities by the binding, and that its primary may be asked.
///
/// # Errors
/// The first [`Refusal`].
pub fn check_admission<'a>(
    asked: &SipIdentities,
    binding: Option<&Binding>,
    agreement: Option<&'a Agreement>,
    now: Timestamp,
) -> Result<&'a Agreement, Refusal> {
    let binding = binding.ok_or_else(|| Refusal::BindingUnknown { partner_impi: asked.impi.clone() })?;
    binding.check_usable(&asked.impus, now)?;
    let mc_system_id = &binding.terms.primary_mc_system_id;
    let agreement =
        agreement.ok_or_else(|| Refusal::AgreementUnknown { mc_system_id: mc_system_id.clone() })?;
    agreement.check_in_force(now)?;
    Ok(agreement)
}

/// What the partner asked and waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutstandingRequest {
    /// The name of the request in both systems' records.
    pub transaction_id: Uuid,
    /// Whom it asked for.
    pub primary_identities: SipIdentities,
    /// The scheme it asked for; `None`: that of the user.
    pub scheme: Option<DigestAlgorithm>,
}

/// What the primary answered, apart from the secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerFacts {
    /// The request that it says it answers.
    pub transaction_id: String,
    /// Whom it says it speaks of.
    pub primary_impi: Option<Impi>,
    /// How many vectors came.
    pub vector_count: usize,
    /// The scheme of the vectors.
    pub scheme: DigestAlgorithm,
}

/// How an answer differs from what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mismatch {
    /// It answers another request.
    TransactionId,
    /// It speaks of another user.
    Identities,
    /// It does not hold exactly one vector.
    VectorCount,
    /// Its vector is for another scheme.
    Scheme,
    /// It cannot be understood.
    Malformed,
}

impl Mismatch {
    /// The name in errors and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::TransactionId => "transaction_id",
            Self::Identities => "primary_identities",
            Self::VectorCount => "vector_count",
            Self::Scheme => "scheme",
            Self::Malformed => "malformed",
        }
    }
}

/// Step 8 of TS 23.280 10.1.6.2: the answer must be the one waited for. That it comes from the MC system that the binding names is
/// the channel's proof.
///
/// # Errors
/// The first [`Mismatch`]; the answer is thrown away then.
pub fn check_answer(outstanding: &OutstandingRequest, answer: &AnswerFacts) -> Result<(), Mismatch> {
    if answer.transaction_id != outstanding.transaction_id.to_string() {
        return Err(Mismatch::TransactionId);
    }
    if answer.primary_impi.as_ref() != Some(&outstanding.primary_identities.impi) {
        return Err(Mismatch::Identities);
    }
    if answer.vector_count != 1 {
        return Err(Mismatch::VectorCount);
    }
    if outstanding.scheme.is_some_and(|scheme| scheme != answer.scheme) {
        return Err(Mismatch::Scheme);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::agreement::AgreementState;
    use crate::domain::samples;

    const NOW: Timestamp = Timestamp::from_micros(100);

    #[test]
    fn visitor_with_a_binding_and_an_agreement_is_admitted() {
        let binding = samples::binding();
        let agreement = samples::agreement("alpha.example");
        let asked = &binding.terms.partner_identities;
        assert_eq!(check_admission(asked, Some(&binding), Some(&agreement), NOW), Ok(&agreement));
    }

    #[test]
    fn visitor_without_a_binding_or_agreement_in_force_is_refused() {
        let binding = samples::binding();
        let asked = &binding.terms.partner_identities;
        let agreement = samples::agreement("alpha.example");
        let suspended = Agreement { state: AgreementState::Suspended, ..agreement.clone() };
        assert_eq!(
            check_admission(asked, None, Some(&agreement), NOW),
            Err(Refusal::BindingUnknown { partner_impi: asked.impi.clone() })
        );
        assert!(matches!(
            check_admission(asked, Some(&binding), None, NOW),
            Err(Refusal::AgreementUnknown { .. })
        ));
        assert!(matches!(
            check_admission(asked, Some(&binding), Some(&suspended), NOW),
            Err(Refusal::AgreementSuspended { .. })
        ));
    }

    #[test]
    fn answer_that_was_not_asked_for_is_thrown_away() {
        let outstanding = OutstandingRequest {
            transaction_id: Uuid::from_u128(1),
            primary_identities: samples::binding().terms.primary_identities,
            scheme: Some(DigestAlgorithm::AkaV1Md5),
        };
        let expected = AnswerFacts {
            transaction_id: outstanding.transaction_id.to_string(),
            primary_impi: Some(outstanding.primary_identities.impi.clone()),
            vector_count: 1,
            scheme: DigestAlgorithm::AkaV1Md5,
        };
        assert_eq!(check_answer(&outstanding, &expected), Ok(()));

        let cases = [
            (
                AnswerFacts { transaction_id: Uuid::from_u128(2).to_string(), ..expected.clone() },
                Mismatch::TransactionId,
            ),
            (
                AnswerFacts { primary_impi: "bob@alpha.example".parse().ok(), ..expected.clone() },
                Mismatch::Identities,
            ),
            (AnswerFacts { primary_impi: None, ..expected.clone() }, Mismatch::Identities),
            (AnswerFacts { vector_count: 0, ..expected.clone() }, Mismatch::VectorCount),
            (AnswerFacts { vector_count: 2, ..expected.clone() }, Mismatch::VectorCount),
            (AnswerFacts { scheme: DigestAlgorithm::AkaV2Sha256, ..expected }, Mismatch::Scheme),
        ];
        for (answer, mismatch) in cases {
            assert_eq!(check_answer(&outstanding, &answer), Err(mismatch));
        }
    }
}
