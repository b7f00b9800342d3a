//! A challenge that was sent and not answered yet, and what its answer proves.

use mcx_aka::digest::{self, DigestAlgorithm, DigestInput, DigestKey, QopParameters, QualityOfProtection};
use mcx_aka::{Auts, Rand};
use mcx_sip::DigestCredentials;
use mcx_types::{Impi, Impu, Timestamp};

/// What the SIP core must remember of a challenge (TS 33.203 6.1.1): what the answer is verified with, who it is for,
/// and the trace it is part of. CK and IK are not kept: nothing here uses them once the digest key is derived.
#[derive(Debug)]
pub struct PendingChallenge {
    /// The identity challenged.
    pub impi: Impi,
    /// The identity to be registered.
    pub impu: Impu,
    /// The public identities that the answer of the source named.
    pub associated_impus: Vec<Impu>,
    /// The algorithm offered.
    pub algorithm: DigestAlgorithm,
    /// The RAND of the vector, for a resynchronisation.
    pub rand: Rand,
    /// The key that the response is verified with, derived from the vector for the algorithm.
    pub digest_key: DigestKey,
    /// The opaque value sent along.
    pub opaque: String,
    /// When it stops being usable.
    pub expires_at: Timestamp,
    /// The W3C trace context of the REGISTER that it answered, so that one trace covers the whole registration.
    pub trace_parent: Option<String>,
}

/// What an answer to a challenge says.
#[derive(Debug, PartialEq, Eq)]
pub enum AnswerVerdict {
    /// The response is right.
    Authenticated,
    /// The ISIM saw a sequence number that it had seen before (TS 33.102 6.3.3): resynchronise.
    SynchronisationFailure(Rand, Auts),
    /// An empty response without `auts`: the ISIM did not believe the network (TS 33.203 6.1.2.1).
    NetworkAuthenticationFailed,
    /// The response is wrong, or of another algorithm than the one offered.
    WrongResponse,
    /// The answer belongs to another identity, realm or opaque value: this challenge proves nothing for it.
    NotForThisChallenge,
    /// The answer breaks the rules of digest.
    Malformed(&'static str),
}

impl PendingChallenge {
    /// Judges an answer whose nonce is this challenge's. The caller has taken the challenge out of the store, so that no
    /// other request can use it again.
    #[must_use]
    pub fn judge(
        &self,
        impi: &Impi,
        impu: &Impu,
        credentials: &DigestCredentials,
        now: Timestamp,
    ) -> AnswerVerdict {
        let answers_this = self.impi == *impi
            && self.impu == *impu
            && credentials.realm.eq_ignore_ascii_case(self.impi.realm().as_str())
            && credentials.opaque.as_ref().is_none_or(|opaque| *opaque == self.opaque)
            && now < self.expires_at;
        if !answers_this {
            return AnswerVerdict::NotForThisChallenge;
        }
        if let Some(auts) = &credentials.auts {
            // The response beside an AUTS is made with an empty password (RFC 3310 3.4) and proves nothing; MAC-S does.
            return match Auts::from_base64(auts) {
                Ok(auts) => AnswerVerdict::SynchronisationFailure(self.rand, auts),
                Err(_) => AnswerVerdict::Malformed("auts is not 14 octets in base64"),
            };
        }
        if credentials.response.is_empty() {
            return AnswerVerdict::NetworkAuthenticationFailed;
        }
        // RFC 2617 3.3: an absent algorithm means MD5, which was not offered.
        let algorithm = credentials.algorithm.as_deref().map(str::parse::<DigestAlgorithm>);
        if !matches!(algorithm, Some(Ok(algorithm)) if algorithm == self.algorithm) {
            return AnswerVerdict::WrongResponse;
        }
        self.judge_response(credentials)
    }

    fn judge_response(&self, credentials: &DigestCredentials) -> AnswerVerdict {
        let qop = match credentials.qop.as_deref() {
            // Offered, not forced: RFC 2617 3.2.2 keeps the old form valid, and a nonce is good once either way.
            None => None,
            Some(quality) if quality.eq_ignore_ascii_case("auth") => {
                let (Some(nonce_count), Some(cnonce)) = (&credentials.nc, &credentials.cnonce) else {
                    return AnswerVerdict::Malformed("qop without nc and cnonce");
                };
                Some(QopParameters { quality: QualityOfProtection::Authentication, nonce_count, cnonce })
            }
            Some(_) => return AnswerVerdict::Malformed("qop was not offered"),
        };
        let input = DigestInput {
            username: &credentials.username,
            realm: &credentials.realm,
            method: "REGISTER",
            uri: &credentials.uri,
            nonce: &credentials.nonce,
            qop,
        };
        match digest::verify(&input, self.algorithm, &self.digest_key, &credentials.response) {
            Ok(()) => AnswerVerdict::Authenticated,
            Err(digest::DigestError::WrongResponse) => AnswerVerdict::WrongResponse,
            Err(digest::DigestError::FieldTooLong { .. }) => {
                AnswerVerdict::Malformed("digest parameter is too long")
            }
            Err(digest::DigestError::MalformedNonceCount) => {
                AnswerVerdict::Malformed("nc is not eight digits")
            }
        }
    }
}
