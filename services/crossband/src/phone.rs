//! A UE for the demonstration and the command line: who registers where, and with which ISIM.

use std::net::SocketAddr;
use std::sync::Arc;

use mcx_aka::isim::{Isim, SequenceArray};
use mcx_aka::{Opc, SubscriberKey};
use mcx_types::{Impi, Impu};
use mcx_ue::{SignallingError, SignallingSettings, SignallingTransport, SignallingUserAgent};

use crate::dev::DemoSubscriber;

/// What a UE is made of.
#[derive(Debug, Clone)]
pub struct Phone {
    /// The private user identity it registers with.
    pub impi: Impi,
    /// The public user identity it registers.
    pub impu: Impu,
    /// K of its ISIM.
    pub key: SubscriberKey,
    /// OPc of its ISIM.
    pub opc: Opc,
    /// What its ISIM remembers.
    pub sequences: SequenceArray,
    /// Where it registers.
    pub registrar: SocketAddr,
    /// How it gets there.
    pub transport: SignallingTransport,
}

impl Phone {
    /// The UE of a demo user at the partner, over UDP, with a factory-new ISIM.
    pub fn of(subscriber: &DemoSubscriber, registrar: SocketAddr) -> Self {
        let identities = &subscriber.partner.identities;
        Self {
            impi: identities.impi.clone(),
            impu: identities.impus[0].clone(),
            key: subscriber.key.clone(),
            opc: subscriber.opc.clone(),
            sequences: SequenceArray::default(),
            registrar,
            transport: SignallingTransport::Udp,
        }
    }

    /// Switches it on; nothing is registered yet.
    ///
    /// # Errors
    /// [`SignallingError::Connection`].
    pub async fn connect(self) -> Result<SignallingUserAgent, SignallingError> {
        let settings = SignallingSettings::new(self.impi, self.impu, self.registrar, self.transport);
        let isim = Isim::new(&self.key, &self.opc).with_sequences(self.sequences);
        SignallingUserAgent::connect(settings, isim, Arc::new(rand::random::<u128>)).await
    }
}
