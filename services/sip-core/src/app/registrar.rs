//! Registers users: challenge, verification, registration (RFC 3261 10.3, TS 33.203 6.1, TS 23.280 10.1.6.2 steps 1, 2, 10, 11).

use super::answer::{ChallengeOffer, RegisterAnswer, Registered};
use super::source::{AuthenticationInformation, AuthenticationInformationSource, SourceError};
use super::trace;
use crate::domain::challenge::{AnswerVerdict, PendingChallenge};
use crate::domain::registration::{ProvenIdentity, Registration, RegistrationPolicy, UpdateRefusal};
use crate::domain::request::{RegisterRequest, SipTransport};
use crate::store::{Attempts, Challenges, Registrations, SharedStateError, Subject};
use mcx_aka::digest;
use mcx_aka::{Auts, Rand};
use mcx_types::{Clock, Impi, Impu, Realm, SipIdentities};
use std::sync::Arc;
use std::time::Duration;
use tracing::Instrument;

/// The realms that this SIP core authenticates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Realms {
    /// The realm of own users.
    pub own: Realm,
    /// The realm of visitors, when this system takes any.
    pub visitors: Option<Realm>,
}

/// What the registrar allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrarPolicy {
    /// The realms.
    pub realms: Realms,
    /// Lifetimes and numbers.
    pub registration: RegistrationPolicy,
    /// How long a source may take for a vector.
    pub source_deadline: Duration,
    /// What Retry-After says when a source names nothing.
    pub retry_after: Duration,
    /// A refresh on the TLS connection on which the user authenticated needs no new challenge for this long; zero: always.
    pub trust_connection_for: Duration,
}

/// Makes identifiers that nobody can guess.
pub type Randomness = Arc<dyn Fn() -> u128 + Send + Sync>;

/// The registrar.
pub struct Registrar {
    policy: RegistrarPolicy,
    own: Arc<dyn AuthenticationInformationSource>,
    visitors: Arc<dyn AuthenticationInformationSource>,
    challenges: Challenges,
    registrations: Registrations,
    attempts: Attempts,
    clock: Arc<dyn Clock>,
    randomness: Randomness,
}

/// A refusal on the way, already in the form of its answer.
struct Refused(RegisterAnswer);

impl From<RegisterAnswer> for Refused {
    fn from(answer: RegisterAnswer) -> Self {
        Self(answer)
    }
}

impl Registrar {
    /// A registrar. `own` knows own users, `visitors` those of other systems.
    #[must_use]
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a different edge, named at the one place of wiring"
    )]
    pub fn new(
        policy: RegistrarPolicy,
        own: Arc<dyn AuthenticationInformationSource>,
        visitors: Arc<dyn AuthenticationInformationSource>,
        challenges: Challenges,
        registrations: Registrations,
        attempts: Attempts,
        clock: Arc<dyn Clock>,
        randomness: Randomness,
    ) -> Self {
        Self { policy, own, visitors, challenges, registrations, attempts, clock, randomness }
    }

    /// Answers a REGISTER.
    pub async fn register(&self, request: RegisterRequest) -> RegisterAnswer {
        let Some(visitor) = self.is_visitor(&request.impi) else {
            tracing::info!(impi = %request.impi, "register refused: realm is not served");
            return RegisterAnswer::Forbidden;
        };
        let pending = match self.pending(&request).await {
            Ok(pending) => pending,
            Err(error) => return self.shared_state_failed(error),
        };
        let parent = pending.as_ref().and_then(|pending| pending.trace_parent.as_deref());
        let span = trace::register(&request, visitor, parent);
        let answer = async {
            match self.decide(&request, visitor, pending).await {
                Ok(answer) | Err(Refused(answer)) => answer,
            }
        }
        .instrument(span.clone())
        .await;
        span.record("sip.status_code", answer.status());
        answer
    }

    fn is_visitor(&self, impi: &Impi) -> Option<bool> {
        let realm = impi.realm();
        if realm == self.policy.realms.own {
            return Some(false);
        }
        (self.policy.realms.visitors.as_ref() == Some(&realm)).then_some(true)
    }

    /// Takes the challenge that the request answers, so that it is used up whatever comes of it.
    async fn pending(&self, request: &RegisterRequest) -> Result<Option<PendingChallenge>, SharedStateError> {
        match &request.credentials {
            Some(credentials) if !credentials.nonce.is_empty() => {
                self.challenges.take(&credentials.nonce).await
            }
            _ => Ok(None),
        }
    }

    async fn decide(
        &self,
        request: &RegisterRequest,
        visitor: bool,
        pending: Option<PendingChallenge>,
    ) -> Result<RegisterAnswer, Refused> {
        self.policy
            .registration
            .check(&request.contacts)
            .map_err(|refusal| refuse_update(request, refusal))?;
        for subject in subjects(request) {
            if self.attempts.is_locked_out(subject).await.map_err(|error| self.shared_state_failed(error))? {
                tracing::warn!(impi = %request.impi, source = %request.source.address, ?subject, "register refused: locked out");
                return Ok(RegisterAnswer::Forbidden);
            }
        }
        let Some(credentials) =
            request.credentials.as_ref().filter(|credentials| !credentials.nonce.is_empty())
        else {
            if let Some(proof) = self.proven_by_connection(request).await? {
                return self.complete(request, visitor, proof).await;
            }
            return self.challenge(request, visitor, false).await;
        };
        let now = self.clock.now();
        let Some(pending) = pending else {
            // Used, expired, or never ours: a fresh challenge, and the UE knows that its key is not at fault.
            tracing::info!(impi = %request.impi, "nonce is unknown, expired or used");
            return self.challenge(request, visitor, true).await;
        };
        let verdict = trace::step("verify the answer", visitor, "10")
            .in_scope(|| pending.judge(&request.impi, &request.impu, credentials, now));
        match verdict {
            AnswerVerdict::Authenticated => {
                let proof = ProvenIdentity {
                    associated_impus: pending.associated_impus,
                    visitor,
                    authenticated_at: now,
                };
                self.complete(request, visitor, proof).await
            }
            AnswerVerdict::SynchronisationFailure(rand, auts) => {
                self.resynchronise(request, visitor, &rand, &auts).await
            }
            AnswerVerdict::NetworkAuthenticationFailed => {
                tracing::warn!(impi = %request.impi, "the ISIM did not authenticate the network");
                Ok(RegisterAnswer::Forbidden)
            }
            AnswerVerdict::NotForThisChallenge => self.challenge(request, visitor, true).await,
            AnswerVerdict::Malformed(reason) => Ok(RegisterAnswer::BadRequest(reason)),
            AnswerVerdict::WrongResponse => self.wrong_response(request, visitor).await,
        }
    }

    async fn wrong_response(
        &self,
        request: &RegisterRequest,
        visitor: bool,
    ) -> Result<RegisterAnswer, Refused> {
        let mut locked_out = false;
        for subject in subjects(request) {
            locked_out |= self
                .attempts
                .record_failure(subject)
                .await
                .map_err(|error| self.shared_state_failed(error))?;
        }
        tracing::warn!(impi = %request.impi, source = %request.source.address, locked_out, "wrong response");
        if locked_out { Ok(RegisterAnswer::Forbidden) } else { self.challenge(request, visitor, false).await }
    }

    /// A refresh needs no challenge on the TLS connection on which the same user proved herself lately, if so configured.
    async fn proven_by_connection(
        &self,
        request: &RegisterRequest,
    ) -> Result<Option<ProvenIdentity>, Refused> {
        let trust = self.policy.trust_connection_for;
        let Some(connection) = &request.source.connection else { return Ok(None) };
        if trust.is_zero() || request.source.transport != SipTransport::Tls {
            return Ok(None);
        }
        let now = self.clock.now();
        let known = self.registrations.get(&request.impu, now).await;
        let known = known.map_err(|error| self.shared_state_failed(error))?;
        Ok(known
            .filter(|known| {
                known.impi == request.impi
                    && now < known.authenticated_at.saturating_add(trust)
                    && known.contacts.iter().any(|contact| contact.connection.as_ref() == Some(connection))
            })
            .map(|known| ProvenIdentity {
                associated_impus: known.associated_impus,
                visitor: known.visitor,
                authenticated_at: known.authenticated_at,
            }))
    }

    async fn challenge(
        &self,
        request: &RegisterRequest,
        visitor: bool,
        stale: bool,
    ) -> Result<RegisterAnswer, Refused> {
        let address = request.source.address.ip();
        let allowed = self.attempts.may_challenge(&request.impi, address).await;
        if !allowed.map_err(|error| self.shared_state_failed(error))? {
            tracing::warn!(impi = %request.impi, source = %address, "too many challenges asked for");
            return Ok(RegisterAnswer::Unavailable { retry_after: self.attempts.challenge_window() });
        }
        let identities = identities(request);
        let span = trace::step("get SIP authentication information", visitor, "2");
        let answer = self.ask(visitor, |source| {
            let identities = identities.clone();
            async move { source.get(&identities).await }
        });
        let information =
            answer.instrument(span).await.map_err(|error| self.refuse_source(request, error))?;
        self.offer(request, visitor, information, stale).await
    }

    async fn resynchronise(
        &self,
        request: &RegisterRequest,
        visitor: bool,
        rand: &Rand,
        auts: &Auts,
    ) -> Result<RegisterAnswer, Refused> {
        let allowed = self.attempts.may_resynchronise(&request.impi, request.source.address.ip()).await;
        if !allowed.map_err(|error| self.shared_state_failed(error))? {
            tracing::warn!(impi = %request.impi, "too many resynchronisations");
            return Ok(RegisterAnswer::Forbidden);
        }
        tracing::info!(impi = %request.impi, "resynchronising");
        let identities = identities(request);
        let span = trace::step("resynchronise", visitor, "2");
        let answer = self.ask(visitor, |source| {
            let (identities, rand, auts) = (identities.clone(), *rand, *auts);
            async move { source.resynchronise(&identities, &rand, &auts).await }
        });
        let information =
            answer.instrument(span).await.map_err(|error| self.refuse_source(request, error))?;
        self.offer(request, visitor, information, false).await
    }

    /// Asks the source of the user, within the deadline; the own SIP database when the binding says so.
    async fn ask<F>(
        &self,
        visitor: bool,
        question: impl Fn(Arc<dyn AuthenticationInformationSource>) -> F,
    ) -> Result<AuthenticationInformation, SourceError>
    where
        F: Future<Output = Result<AuthenticationInformation, SourceError>>,
    {
        let asking = async {
            if !visitor {
                return question(Arc::clone(&self.own)).await;
            }
            match question(Arc::clone(&self.visitors)).await {
                Err(SourceError::LocalCredentials) => question(Arc::clone(&self.own)).await,
                answer => answer,
            }
        };
        tokio::time::timeout(self.policy.source_deadline, asking).await.unwrap_or(Err(SourceError::TimedOut))
    }

    async fn offer(
        &self,
        request: &RegisterRequest,
        visitor: bool,
        information: AuthenticationInformation,
        stale: bool,
    ) -> Result<RegisterAnswer, Refused> {
        // A vector for somebody else would let her be authenticated as this user.
        if information.identities.impi != request.impi
            || !information.identities.impus.contains(&request.impu)
        {
            tracing::error!(impi = %request.impi, "authentication information is for other identities; thrown away");
            return Ok(RegisterAnswer::Unavailable { retry_after: self.policy.retry_after });
        }
        let span = trace::step("challenge the user", visitor, "10");
        let trace_parent = trace::parent_of_next(&tracing::Span::current());
        async {
            let vector = information.vector;
            let Ok(nonce) = digest::nonce_from(&vector.rand, &vector.autn, &[]) else {
                return Ok(RegisterAnswer::Unavailable { retry_after: self.policy.retry_after });
            };
            let opaque = format!("{:032x}", (self.randomness)());
            let challenge = PendingChallenge {
                impi: request.impi.clone(),
                impu: request.impu.clone(),
                associated_impus: associated(&request.impu, information.identities.impus),
                algorithm: information.algorithm,
                rand: vector.rand,
                digest_key: vector.digest_key(information.algorithm),
                opaque: opaque.clone(),
                expires_at: self.clock.now().saturating_add(self.challenges.lifetime()),
                trace_parent,
            };
            let stored = self.challenges.put(&nonce, &challenge).await;
            stored.map_err(|error| self.shared_state_failed(error))?;
            Ok(RegisterAnswer::Challenge(ChallengeOffer {
                realm: request.impi.realm(),
                nonce,
                algorithm: information.algorithm.token(),
                opaque,
                stale,
            }))
        }
        .instrument(span)
        .await
    }

    async fn complete(
        &self,
        request: &RegisterRequest,
        visitor: bool,
        proof: ProvenIdentity,
    ) -> Result<RegisterAnswer, Refused> {
        let span = trace::step("register and answer", visitor, "11");
        async {
            let now = self.clock.now();
            let applied = self
                .registrations
                .update(&request.impu, now, |before| {
                    Registration::apply(before, request, &proof, &self.policy.registration, now)
                })
                .await
                .map_err(|error| self.shared_state_failed(error))?
                .map_err(|refusal| refuse_update(request, refusal))?;
            tracing::info!(impi = %request.impi, impu = %request.impu, changes = ?applied.changes, "registered");
            Ok(RegisterAnswer::Registered(Box::new(Registered {
                registration: applied.registration,
                associated_impus: proof.associated_impus,
                at: now,
            })))
        }
        .instrument(span)
        .await
    }

    fn refuse_source(&self, request: &RegisterRequest, error: SourceError) -> RegisterAnswer {
        tracing::warn!(impi = %request.impi, impu = %request.impu, %error, "no authentication information");
        let retry_after = |wait: Option<Duration>| wait.unwrap_or(self.policy.retry_after);
        match error {
            SourceError::UserUnknown
            | SourceError::IdentitiesDoNotMatch
            | SourceError::UserBarred
            | SourceError::NotAllowed { .. }
            | SourceError::LocalCredentials
            | SourceError::SchemeNotSupported
            | SourceError::ResynchronisationRefused => RegisterAnswer::Forbidden,
            SourceError::RateLimited { retry_after: wait }
            | SourceError::Unavailable { retry_after: wait, .. } => {
                RegisterAnswer::Unavailable { retry_after: retry_after(wait) }
            }
            SourceError::TimedOut => RegisterAnswer::TimedOut { retry_after: self.policy.retry_after },
        }
    }

    fn shared_state_failed(&self, error: SharedStateError) -> RegisterAnswer {
        tracing::error!(%error, "register cannot be answered");
        RegisterAnswer::Unavailable { retry_after: self.policy.retry_after }
    }
}

fn subjects(request: &RegisterRequest) -> [Subject<'_>; 2] {
    let address = request.source.address.ip();
    [Subject::IdentityAt(&request.impi, address), Subject::Address(address)]
}

fn identities(request: &RegisterRequest) -> SipIdentities {
    SipIdentities { impi: request.impi.clone(), impus: vec![request.impu.clone()] }
}

/// The registered identity first, then the others.
fn associated(registered: &Impu, all: Vec<Impu>) -> Vec<Impu> {
    let others = all.into_iter().filter(|impu| impu != registered);
    std::iter::once(registered.clone()).chain(others).collect()
}

fn refuse_update(request: &RegisterRequest, refusal: UpdateRefusal) -> RegisterAnswer {
    tracing::info!(impi = %request.impi, impu = %request.impu, %refusal, "register changes nothing");
    match refusal {
        UpdateRefusal::IntervalTooBrief { minimum_seconds } => {
            RegisterAnswer::IntervalTooBrief { minimum_seconds }
        }
        UpdateRefusal::OutOfOrder => RegisterAnswer::OutOfOrder,
        UpdateRefusal::TooManyContacts { .. } => RegisterAnswer::Forbidden,
    }
}
