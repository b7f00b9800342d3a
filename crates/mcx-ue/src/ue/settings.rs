//! What an MC service UE is made of.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mcx_aka::{Opc, SubscriberKey};
use mcx_federation::access_token::Scope;
use mcx_proto::types::v1::{InitialUeConfiguration, PdnConnectivity};
use mcx_types::{Clock, McService, McSystemId, ProfileIndex, SipIdentities, SystemClock};
use secrecy::SecretString;

use crate::servers::Patience;
use crate::signalling::{Observer, Randomness};
use crate::state::PartnerOrder;

/// Where the login page sends the user back to, unless the settings say otherwise (RFC 8252 7.3). Nothing listens there.
const REDIRECT_URI: &str = "http://127.0.0.1/authorized";

/// The ISIM of a UE: its keys, and who its user is on the signalling plane of her primary MC system.
#[derive(Clone)]
pub struct IsimCard {
    /// K.
    pub key: SubscriberKey,
    /// OPc.
    pub opc: Opc,
    /// The SIP identities at home. A partner allots others (TS 23.280 10.1.6.2 NOTE 1).
    pub identities: SipIdentities,
    /// Where its sequence numbers are remembered, as a JSON array; without it, it is factory-new each time.
    pub state_file: Option<PathBuf>,
}

/// What an MC service UE is told when it is switched on.
#[derive(Clone)]
pub struct UeSettings {
    /// The instance identifier of the UE, a URN.
    pub ue_id: String,
    /// Its ISIM.
    pub isim: IsimCard,
    /// Where its tokens, documents and state are kept; without it they end with it.
    pub state_file: Option<PathBuf>,
    /// Where the login page sends the user back to; registered with the OAuth client.
    pub redirect_uri: String,
    /// The scopes asked for in the primary MC system. The identity management server leaves out those that the user may not have.
    pub scopes: Vec<String>,
    /// The user profiles to be active, where it is not the pre-selected ones.
    pub profile_indices: BTreeMap<McService, ProfileIndex>,
    /// What comes first in a partner.
    pub order: PartnerOrder,
    /// How long one request may take.
    pub deadline: Duration,
    /// How long is waited before a broken watch is taken up again.
    pub patience: Patience,
    /// The modem.
    pub bearers: Arc<dyn Bearers>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness for the signalling plane.
    pub randomness: Randomness,
    /// Hears of every message on the signalling plane.
    pub signalling_observer: Option<Observer>,
}

impl UeSettings {
    /// Settings with the usual values: kept nowhere, every scope but that of key management, pre-selected user profiles, the order
    /// of the text, 10 s for a request, no modem of its own.
    #[must_use]
    pub fn new(ue_id: impl Into<String>, isim: IsimCard, randomness: Randomness) -> Self {
        let scopes = Scope::ALL.iter().filter(|scope| **scope != Scope::KeyManagement);
        Self {
            ue_id: ue_id.into(),
            isim,
            state_file: None,
            redirect_uri: REDIRECT_URI.to_owned(),
            scopes: scopes.map(|scope| scope.as_str().to_owned()).collect(),
            profile_indices: BTreeMap::new(),
            order: PartnerOrder::default(),
            deadline: Duration::from_secs(10),
            patience: Patience::default(),
            bearers: Arc::new(AlwaysConnected),
            clock: Arc::new(SystemClock),
            randomness,
            signalling_observer: None,
        }
    }
}

/// From where a UE has its initial UE configuration (TS 23.280 10.1.1.1).
#[derive(Clone)]
pub enum BootstrapSource {
    /// It was put into the UE.
    Configuration(Box<InitialUeConfiguration>),
    /// The configuration management server gives it for an enrolment code, once.
    Enrolment {
        /// The primary MC system.
        mc_system_id: McSystemId,
        /// The configuration management server, `host:port`.
        configuration_management: String,
        /// The certificates (PEM) by which the UE knows it; given together with the code.
        trust_bundle_pem: String,
        /// The code.
        enrolment_code: SecretString,
    },
}

/// Why the packet data networks of an MC system are not up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("bearers of {mc_system_id}: {reason}")]
pub struct BearerFailure {
    /// The MC system.
    pub mc_system_id: McSystemId,
    /// What the modem says.
    pub reason: String,
}

/// The modem: brings packet data networks up and takes them down (TS 23.280 10.1.6.2, pre-condition 2).
#[async_trait]
pub trait Bearers: Send + Sync {
    /// Makes an MC system reachable. Repeated, it changes nothing.
    ///
    /// # Errors
    /// [`BearerFailure`]
    async fn bring_up(
        &self,
        mc_system_id: &McSystemId,
        networks: &[PdnConnectivity],
    ) -> Result<(), BearerFailure>;

    /// The MC system need not be reachable any more.
    async fn take_down(&self, mc_system_id: &McSystemId);
}

/// A UE without a modem of its own: what it can reach, it reaches.
#[derive(Debug, Clone, Copy, Default)]
pub struct AlwaysConnected;

#[async_trait]
impl Bearers for AlwaysConnected {
    async fn bring_up(&self, _: &McSystemId, _: &[PdnConnectivity]) -> Result<(), BearerFailure> {
        Ok(())
    }

    async fn take_down(&self, _: &McSystemId) {}
}

impl fmt::Debug for IsimCard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("IsimCard").field("identities", &self.identities).finish_non_exhaustive()
    }
}

impl fmt::Debug for UeSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("UeSettings")
            .field("ue_id", &self.ue_id)
            .field("isim", &self.isim)
            .field("state_file", &self.state_file)
            .finish_non_exhaustive()
    }
}
