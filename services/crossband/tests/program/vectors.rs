//! Asks the SIP database for vectors as the SIP core of the same system does, and checks what it gives.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crossband::config::identity_files;
use mcx_aka::isim::Isim;
use mcx_aka::{AuthenticationVector, Milenage, Opc, Sqn, SubscriberKey};
use mcx_federation::{ChannelSettings, Dialer, OwnIdentity, TrustBundles};
use mcx_testkit::SequenceAudit;
use mcx_types::{Entity, McSystemId, SipIdentities, SpiffeId, SystemClock};
use serde_json::Value;
use sip_database::client::{ClientError, NewSubscriber, SipAuthenticationClient, SubscriberClient};
use tonic::transport::Channel;

/// Longer than any answer takes, so that only the end of the server ends a call.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A channel over mutual TLS to the listener of `server`, as the holder of one of the certificates in `folder`.
pub(crate) fn channel(
    folder: &Path,
    caller: &str,
    system: &McSystemId,
    server: Entity,
    address: SocketAddr,
) -> Channel {
    let own = OwnIdentity::load(&identity_files(folder, caller)).unwrap();
    let bundles = TrustBundles::new(own.clone());
    let dialer = Dialer::new(own, bundles, ChannelSettings::default(), Arc::new(SystemClock));
    dialer.channel(SpiffeId::entity(system.clone(), server), vec![address.into()]).unwrap()
}

/// The client of a SIP core.
pub(crate) fn sip_core(channel: Channel) -> SipAuthenticationClient {
    SipAuthenticationClient::new(channel).with_timeout(TIMEOUT)
}

/// The client of an operator.
pub(crate) fn operator(channel: Channel) -> SubscriberClient {
    SubscriberClient::new(channel)
}

/// A user with her keys.
#[derive(Clone)]
pub(crate) struct User {
    pub(crate) identities: SipIdentities,
    pub(crate) key: SubscriberKey,
    pub(crate) opc: Opc,
}

impl User {
    /// A user of `alpha.example` with keys of her own.
    pub(crate) fn numbered(number: u8) -> Self {
        let identities = SipIdentities {
            impi: format!("user{number}@alpha.example").parse().unwrap(),
            impus: vec![format!("sip:user{number}@alpha.example").parse().unwrap()],
        };
        Self {
            identities,
            key: SubscriberKey::from_octets([number; 16]),
            opc: Opc::from_octets([!number; 16]),
        }
    }

    /// A user of the ready file, in her primary system.
    pub(crate) fn of_ready_file(entry: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let identities = SipIdentities {
            impi: text(&entry["impi"]).parse().unwrap(),
            impus: vec![text(&entry["impus"][0]).parse().unwrap()],
        };
        Self {
            identities,
            key: SubscriberKey::from_hex(&text(&entry["k"])).unwrap(),
            opc: Opc::from_hex(&text(&entry["opc"])).unwrap(),
        }
    }

    pub(crate) fn new_subscriber(&self) -> NewSubscriber {
        NewSubscriber::new(self.identities.clone(), self.key.clone(), self.opc.clone())
    }

    /// Asks for vectors of this user.
    pub(crate) async fn ask(
        &self,
        client: &SipAuthenticationClient,
        count: u32,
    ) -> Result<Vec<AuthenticationVector>, ClientError> {
        Ok(client.authentication_information(&self.identities, None, count, None).await?.vectors)
    }
}

/// Every vector that a test got: no SEQ comes twice, and the ISIM of each user takes hers in their order.
#[derive(Default)]
pub(crate) struct Account {
    audit: SequenceAudit,
    of_users: Vec<(User, Vec<(Sqn, AuthenticationVector)>)>,
}

impl Account {
    /// Takes note of vectors.
    pub(crate) fn record(&mut self, user: &User, vectors: Vec<AuthenticationVector>) {
        let milenage = Milenage::new(&user.key, &user.opc);
        let known = self.of_users.iter().position(|(known, _)| known.identities == user.identities);
        let index = known.unwrap_or_else(|| {
            self.of_users.push((user.clone(), Vec::new()));
            self.of_users.len() - 1
        });
        for vector in vectors {
            let sqn = self.audit.record(user.identities.impi.as_str(), &milenage, &vector);
            self.of_users[index].1.push((sqn, vector));
        }
    }

    /// The latest sequence number of a user.
    pub(crate) fn highest(&self, user: &User) -> Option<Sqn> {
        let (_, vectors) = self.of_users.iter().find(|(known, _)| known.identities == user.identities)?;
        vectors.iter().map(|(sqn, _)| *sqn).max()
    }

    /// Lets the users' ISIMs answer all challenges, in the order of their numbers; how many there were.
    pub(crate) fn settle(mut self) -> usize {
        for (user, vectors) in &mut self.of_users {
            let mut isim = Isim::new(&user.key, &user.opc);
            vectors.sort_by_key(|(sqn, _)| *sqn);
            for (_, vector) in vectors {
                let answer =
                    isim.authenticate(&vector.rand, &vector.autn).expect("the ISIM takes the vector");
                assert!(vector.xres.matches(&answer.res), "the answer is not the one expected");
            }
        }
        self.audit.count()
    }
}
