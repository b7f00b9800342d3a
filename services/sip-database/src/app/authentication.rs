//! Making authentication vectors, and healing a desynchronised ISIM (TS 23.280 10.1.6.2 steps 5 and 6).

use mcx_aka::network::{CounterAdjustment, next_sequence_after_resynchronisation, verify_resynchronisation};
use mcx_aka::{Amf, MAXIMUM_SEQUENCE_JUMP, Milenage, Rand, Sqn};
use mcx_types::wire::{AuthenticationInformation, SynchronisationFailure};
use mcx_types::{Impi, McSystemId};
use metrics::counter;
use tracing::Instrument;

use super::App;
use crate::domain::requester::Requester;
use crate::domain::subscriber::{Subscriber, VectorRequest};
use crate::error::SipDatabaseError;
use crate::store::{Advance, Advanced};

impl App {
    /// Makes `count` vectors for a requester. Their sequence numbers are durable when this returns, and their RAND values
    /// are remembered, so that the requester may hand in an AUTS for them.
    ///
    /// The counter and the subscriber come from one statement, shared by all requests under way. A request that is refused
    /// for its identities or its scheme has used up numbers nevertheless, of which there are 2^43.
    pub(crate) async fn authentication_information(
        &self,
        requester: &Requester,
        request: &VectorRequest,
        count: u32,
    ) -> Result<AuthenticationInformation, SipDatabaseError> {
        let impi = request.impi();
        let index = self.index_of(requester).await?;
        let rands: Vec<Rand> = (0..count).map(|_| Rand(self.random.array())).collect();
        let advance = Advance { impi: impi.clone(), count: u64::from(count) };
        let (advanced, ()) =
            tokio::join!(self.sequences.submit(advance), self.record(impi, requester, &rands));
        let (subscriber, block) = match advanced.map_err(|error| self.commit_error(error))? {
            Advanced::Issued { subscriber, block } => (subscriber, block),
            Advanced::SubscriberUnknown => return Err(SipDatabaseError::SubscriberUnknown(impi.clone())),
            Advanced::Barred { subscriber } => {
                self.check_grant(&subscriber, request)?;
                return Err(SipDatabaseError::SubscriberBarred(impi.clone()));
            }
            Advanced::Exhausted { subscriber } => {
                self.check_grant(&subscriber, request)?;
                return Err(SipDatabaseError::SequenceExhausted(impi.clone()));
            }
            Advanced::Overtaken => {
                let retry_after = self.config.store_retry_delay;
                return Err(SipDatabaseError::StoreUnavailable { retry_after });
            }
        };
        self.check_grant(&subscriber, request)?;
        let made = self
            .make_vectors(&subscriber, rands, block.sequence_numbers(index))
            .instrument(step_6(requester))
            .await?;
        tracing::info!(
            %impi, requester = %self.system_of(requester), %index, sequence = block.first(), count,
            "authentication vectors made"
        );
        counter!("mcx_sip_database_vectors_made_total", "requester" => requester.kind())
            .increment(u64::from(count));
        Ok(made)
    }

    /// Honours an AUTS and makes one vector that the ISIM will accept (TS 33.102 6.3.5 and Annex C.3).
    ///
    /// A RAND has one try: it is used up before MAC-S is looked at, so that nobody can guess.
    pub(crate) async fn resynchronise(
        &self,
        requester: &Requester,
        request: &VectorRequest,
        failure: SynchronisationFailure,
    ) -> Result<AuthenticationInformation, SipDatabaseError> {
        let outcome = self.resynchronise_unmeasured(requester, request, failure).await;
        let label = match &outcome {
            Ok(_) => "healed",
            Err(SipDatabaseError::ChallengeUnknown(_)) => "challenge_unknown",
            Err(SipDatabaseError::ResynchronisationRefused(_)) => "mac_failure",
            Err(_) => "failed",
        };
        counter!(
            "mcx_sip_database_resynchronisations_total", "requester" => requester.kind(), "outcome" => label
        )
        .increment(1);
        outcome
    }

    async fn resynchronise_unmeasured(
        &self,
        requester: &Requester,
        request: &VectorRequest,
        failure: SynchronisationFailure,
    ) -> Result<AuthenticationInformation, SipDatabaseError> {
        let impi = request.impi();
        let system = self.system_of(requester);
        let unknown = || SipDatabaseError::SubscriberUnknown(impi.clone());
        let subscriber = self.store.subscriber(impi).await.map_err(|error| self.store_error(error))?;
        let subscriber = subscriber.ok_or_else(unknown)?;
        self.check_grant(&subscriber, request)?;
        let index = self.index_of(requester).await?;
        let keys = self.open_keys(&subscriber).await?;
        let milenage = Milenage::new(&keys.key, &keys.opc);

        let taken = self.challenges.take(impi, system, &failure.rand).await.map_err(|error| {
            tracing::warn!(%impi, requester = %system, %error, "issued challenges cannot be asked for");
            SipDatabaseError::StoreUnavailable { retry_after: self.config.store_retry_delay }
        })?;
        if !taken {
            tracing::warn!(%impi, requester = %system, "resynchronisation for a challenge not issued");
            return Err(SipDatabaseError::ChallengeUnknown(impi.clone()));
        }
        let sqn_ms = verify_resynchronisation(&milenage, &failure.rand, &failure.auts).map_err(|_| {
            tracing::warn!(%impi, requester = %system, "resynchronisation token does not verify");
            SipDatabaseError::ResynchronisationRefused(impi.clone())
        })?;

        let rands = [Rand(self.random.array())];
        let replaced = async {
            let decide = |last_issued| {
                next_sequence_after_resynchronisation(last_issued, sqn_ms, index, MAXIMUM_SEQUENCE_JUMP)
                    .map(|decision| (decision.next.sequence(), decision))
            };
            self.store.replace_counter(impi, decide).await
        };
        let (replaced, ()) = tokio::join!(replaced, self.record(impi, requester, &rands));
        let decision = replaced
            .map_err(|error| self.store_error(error))?
            .ok_or_else(unknown)?
            .map_err(|_| SipDatabaseError::SequenceExhausted(impi.clone()))?;
        tracing::info!(
            %impi,
            requester = %system,
            %index,
            sequence_of_isim = sqn_ms.sequence().get(),
            sequence = decision.next.sequence().get(),
            counter_replaced = decision.adjustment == CounterAdjustment::SetToSequenceOfIsim,
            "resynchronised"
        );
        let amf = subscriber.content.amf;
        let make = || rands.map(|rand| milenage.authentication_vector(rand, decision.next, amf)).into();
        let vectors = step_6(requester).in_scope(make);
        Ok(AuthenticationInformation { scheme: subscriber.content.scheme, vectors })
    }

    fn check_grant(&self, subscriber: &Subscriber, request: &VectorRequest) -> Result<(), SipDatabaseError> {
        let refused = |refusal| SipDatabaseError::of_vector_refusal(request.impi(), refusal);
        subscriber.content.grants(request).map_err(refused)
    }

    async fn make_vectors(
        &self,
        subscriber: &Subscriber,
        rands: Vec<Rand>,
        sequence_numbers: impl Iterator<Item = Sqn>,
    ) -> Result<AuthenticationInformation, SipDatabaseError> {
        let keys = self.open_keys(subscriber).await?;
        let milenage = Milenage::new(&keys.key, &keys.opc);
        let amf: Amf = subscriber.content.amf;
        let vectors = rands
            .into_iter()
            .zip(sequence_numbers)
            .map(|(rand, sqn)| milenage.authentication_vector(rand, sqn, amf))
            .collect();
        Ok(AuthenticationInformation { scheme: subscriber.content.scheme, vectors })
    }

    /// Remembers issued challenges. Where that fails the vectors go out all the same: all that is lost is the healing of
    /// an ISIM that answers them with an AUTS.
    async fn record(&self, impi: &Impi, requester: &Requester, rands: &[Rand]) {
        if let Err(error) = self.challenges.record(impi, self.system_of(requester), rands).await {
            tracing::warn!(%impi, %error, "issued challenges are not remembered");
            counter!("mcx_sip_database_challenges_not_remembered_total").increment(rands.len() as u64);
        }
    }

    fn system_of<'a>(&'a self, requester: &'a Requester) -> &'a McSystemId {
        match requester {
            Requester::OwnSystem => &self.own_system,
            Requester::Partner(partner) => partner,
        }
    }
}

/// Step 6 of the figure is the answer to the migration management server; own registrations are no migration.
fn step_6(requester: &Requester) -> tracing::Span {
    match requester {
        Requester::OwnSystem => tracing::Span::current(),
        Requester::Partner(_) => {
            tracing::info_span!("make authentication vector", mcx.clause = "10.1.6.2", mcx.step = "6")
        }
    }
}
