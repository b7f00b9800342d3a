//! A home network of one subscriber in memory: real vectors, real resynchronisation, and faults on demand.

use async_trait::async_trait;
use mcx_aka::digest::DigestAlgorithm;
use mcx_aka::isim::Isim;
use mcx_aka::network::{next_sequence_after_resynchronisation, verify_resynchronisation};
use mcx_aka::{
    Amf, Auts, IndexValue, MAXIMUM_SEQUENCE_JUMP, Milenage, Opc, OperatorKey, Rand, Sequence, Sqn,
    SubscriberKey,
};
use mcx_types::{Impi, Impu, SipIdentities};
use sip_core::app::{AuthenticationInformation, AuthenticationInformationSource, SourceError};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// K and OP of TS 35.208 set 3.
pub(crate) const K: &str = "fec86ba6eb707ed08905757b1bb44b8f";
/// OP of set 3.
pub(crate) const OP: &str = "dbc59adcb6f9a0ef735477b7fadf8374";

/// AMF of set 3.
pub(crate) const AMF: &str = "725c";

pub(crate) fn milenage() -> Milenage {
    let key = SubscriberKey::from_hex(K).unwrap();
    Milenage::new(&key, &Opc::derive(&key, &OperatorKey::from_hex(OP).unwrap()))
}

/// The RAND of the vector with this number.
fn rand(number: usize) -> Rand {
    let number = u128::try_from(number).unwrap();
    Rand((0x0f0e_0d0c_0b0a_0908_0706_0504_0302_0100 + (number << 64)).to_be_bytes())
}

/// XRES, CK and IK of the first vector, in hexadecimal.
pub(crate) fn secrets_of_first_vector() -> [String; 3] {
    let sqn = Sqn::new(Sequence::new(1).unwrap(), index());
    let vector = milenage().authentication_vector(rand(0), sqn, Amf::from_hex(AMF).unwrap());
    [vector.xres.expose_octets(), vector.ck.expose_octets(), vector.ik.expose_octets()].map(hex::encode)
}

/// The ISIM of the subscriber.
pub(crate) fn isim() -> Isim {
    let key = SubscriberKey::from_hex(K).unwrap();
    Isim::new(&key, &Opc::derive(&key, &OperatorKey::from_hex(OP).unwrap()))
}

/// What happens instead of the next answer.
pub(crate) enum Fault {
    /// This error.
    Error(SourceError),
    /// No answer, ever.
    Silence,
    /// A vector for somebody else.
    OtherUser,
    /// The usual answer, when it is let go.
    Held(Arc<Gate>),
}

/// Where an answer is held.
#[derive(Default)]
pub(crate) struct Gate {
    /// It was asked for.
    pub(crate) asked: Notify,
    /// It may be given.
    pub(crate) open: Notify,
}

pub(crate) struct Home {
    impi: Impi,
    impus: Vec<Impu>,
    algorithm: DigestAlgorithm,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last_issued: u64,
    issued: Vec<Rand>,
    resynchronised: usize,
    faults: VecDeque<Fault>,
}

impl Home {
    pub(crate) fn new(impi: &str, impus: &[&str], algorithm: DigestAlgorithm) -> Self {
        Self {
            impi: impi.parse().unwrap(),
            impus: impus.iter().map(|impu| impu.parse().unwrap()).collect(),
            algorithm,
            state: Mutex::default(),
        }
    }

    /// How many vectors were handed out.
    pub(crate) fn vectors_issued(&self) -> usize {
        self.state.lock().unwrap().issued.len()
    }

    /// How many resynchronisations were honoured.
    pub(crate) fn resynchronised(&self) -> usize {
        self.state.lock().unwrap().resynchronised
    }

    /// Turns the counter back, as when a database is restored from an old backup.
    pub(crate) fn restore_counter(&self, last_issued: u64) {
        self.state.lock().unwrap().last_issued = last_issued;
    }

    /// Lets the next answer be this.
    pub(crate) fn fail_next(&self, fault: Fault) {
        self.state.lock().unwrap().faults.push_back(fault);
    }

    async fn fault(&self) -> Result<(), SourceError> {
        let fault = self.state.lock().unwrap().faults.pop_front();
        match fault {
            None | Some(Fault::OtherUser) => Ok(()),
            Some(Fault::Error(error)) => Err(error),
            Some(Fault::Silence) => std::future::pending().await,
            Some(Fault::Held(gate)) => {
                gate.asked.notify_one();
                gate.open.notified().await;
                Ok(())
            }
        }
    }

    fn answer(&self, state: &mut State, sqn: Sqn) -> AuthenticationInformation {
        state.last_issued = sqn.sequence().get();
        let rand = rand(state.issued.len());
        state.issued.push(rand);
        AuthenticationInformation {
            identities: SipIdentities { impi: self.impi.clone(), impus: self.impus.clone() },
            algorithm: self.algorithm,
            vector: milenage().authentication_vector(rand, sqn, Amf::from_hex(AMF).unwrap()),
        }
    }
}

fn index() -> IndexValue {
    IndexValue::new(3).unwrap()
}

#[async_trait]
impl AuthenticationInformationSource for Home {
    async fn get(&self, identities: &SipIdentities) -> Result<AuthenticationInformation, SourceError> {
        let other_user = matches!(self.state.lock().unwrap().faults.front(), Some(Fault::OtherUser));
        self.fault().await?;
        if identities.impi != self.impi {
            return Err(SourceError::UserUnknown);
        }
        if identities.impus.iter().any(|impu| !self.impus.contains(impu)) {
            return Err(SourceError::IdentitiesDoNotMatch);
        }
        let mut state = self.state.lock().unwrap();
        let sqn = Sqn::new(Sequence::new(state.last_issued + 1).unwrap(), index());
        let mut answer = self.answer(&mut state, sqn);
        if other_user {
            answer.identities.impi = "mallory@bravo.example".parse().unwrap();
        }
        Ok(answer)
    }

    async fn resynchronise(
        &self,
        identities: &SipIdentities,
        rand: &Rand,
        auts: &Auts,
    ) -> Result<AuthenticationInformation, SourceError> {
        self.fault().await?;
        let mut state = self.state.lock().unwrap();
        if identities.impi != self.impi || !state.issued.contains(rand) {
            return Err(SourceError::ResynchronisationRefused);
        }
        let sqn_ms = verify_resynchronisation(&milenage(), rand, auts)
            .map_err(|_| SourceError::ResynchronisationRefused)?;
        let last_issued = Sequence::new(state.last_issued).unwrap();
        let next = next_sequence_after_resynchronisation(last_issued, sqn_ms, index(), MAXIMUM_SEQUENCE_JUMP);
        state.resynchronised += 1;
        Ok(self.answer(&mut state, next.unwrap().next))
    }
}
