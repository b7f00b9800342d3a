//! Registrations and how a REGISTER changes them (RFC 3261 10.3 steps 6 to 8).

use super::request::{ContactChange, ContactUpdate, RegisterRequest, SipTransport};
use mcx_sip::SipAddress;
use mcx_types::{Impi, Impu, Timestamp};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::Duration;

/// The registration of a public user identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    /// The public user identity.
    pub impu: Impu,
    /// The private user identity that authenticated it last.
    pub impi: Impi,
    /// All public user identities of that user, this one first.
    pub associated_impus: Vec<Impu>,
    /// Whether her primary MC system authenticated her.
    pub visitor: bool,
    /// When she last proved who she is.
    #[serde(with = "micros")]
    pub authenticated_at: Timestamp,
    /// Where she can be reached; never empty.
    pub contacts: Vec<Contact>,
}

/// One address at which a registered user can be reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    /// The URI as the UE wrote it.
    pub uri: String,
    /// The preference in thousandths; `None`: none was given.
    pub preference_thousandths: Option<u16>,
    /// `+sip.instance`.
    pub instance_id: Option<String>,
    /// All other parameters, as written.
    pub parameters: Vec<(String, Option<String>)>,
    /// How the last REGISTER came.
    pub transport: SipTransport,
    /// Where it came from.
    pub source_address: SocketAddr,
    /// The connection it came on.
    pub connection: Option<String>,
    /// The software that the UE named.
    pub user_agent: Option<String>,
    /// `Call-ID` of the last REGISTER.
    pub call_id: String,
    /// Sequence number of the last REGISTER.
    pub sequence: u32,
    /// `Path` of the last REGISTER.
    pub path: Vec<String>,
    /// When the contact was first registered.
    #[serde(with = "micros")]
    pub registered_at: Timestamp,
    /// When it is gone unless refreshed.
    #[serde(with = "micros")]
    pub expires_at: Timestamp,
}

impl Contact {
    /// Seconds left, rounded up so that a contact is never shown with zero while it lives.
    #[must_use]
    pub fn seconds_left(&self, now: Timestamp) -> u64 {
        self.expires_at.saturating_since(now).as_micros().div_ceil(1_000_000).try_into().unwrap_or(u64::MAX)
    }
}

/// How long a registration may live, and how many contacts it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegistrationPolicy {
    /// Shortest lifetime; shorter ones get 423.
    pub minimum_expiry: Duration,
    /// Longest lifetime; longer ones are shortened.
    pub maximum_expiry: Duration,
    /// Lifetime when none is asked for.
    pub default_expiry: Duration,
    /// Most contacts of one identity.
    pub maximum_contacts: usize,
}

/// What happened to one contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegistrationChange {
    /// It was added.
    Registered,
    /// It was refreshed.
    Refreshed,
    /// It was removed, by its UE or by an operator.
    Deregistered,
    /// It was not refreshed in time.
    Expired,
}

/// A registration after a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The registration; `None` when no contact is left.
    pub registration: Option<Registration>,
    /// What changed, one entry for each contact touched.
    pub changes: Vec<RegistrationChange>,
}

/// Why a request changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UpdateRefusal {
    /// A lifetime is shorter than the policy allows (RFC 3261 10.3 step 7: 423).
    #[error("lifetime is shorter than {minimum_seconds} seconds")]
    IntervalTooBrief {
        /// The shortest lifetime.
        minimum_seconds: u64,
    },
    /// The request is older than the last one of the same `Call-ID` (RFC 3261 10.3 step 7).
    #[error("request is out of order")]
    OutOfOrder,
    /// The identity would have more contacts than the policy allows.
    #[error("more than {maximum} contacts")]
    TooManyContacts {
        /// The most contacts.
        maximum: usize,
    },
}

impl RegistrationPolicy {
    fn lifetime(&self, update: &ContactUpdate) -> Result<Duration, UpdateRefusal> {
        let asked = update.expires.map_or(self.default_expiry, |seconds| Duration::from_secs(seconds.into()));
        if asked.is_zero() {
            return Ok(asked);
        }
        if asked < self.minimum_expiry {
            return Err(UpdateRefusal::IntervalTooBrief { minimum_seconds: self.minimum_expiry.as_secs() });
        }
        Ok(asked.min(self.maximum_expiry))
    }

    /// Whether every lifetime asked for is acceptable, known before the user is asked to authenticate.
    ///
    /// # Errors
    /// [`UpdateRefusal::IntervalTooBrief`].
    pub fn check(&self, change: &ContactChange) -> Result<(), UpdateRefusal> {
        match change {
            ContactChange::Update(updates) => {
                updates.iter().try_for_each(|update| self.lifetime(update).map(drop))
            }
            ContactChange::Query | ContactChange::RemoveAll => Ok(()),
        }
    }
}

impl Registration {
    /// Removes the contacts that are over, and tells how many they were.
    pub fn prune(&mut self, now: Timestamp) -> usize {
        let before = self.contacts.len();
        self.contacts.retain(|contact| contact.expires_at > now);
        before - self.contacts.len()
    }

    /// The earliest moment at which a contact is over.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Timestamp> {
        self.contacts.iter().map(|contact| contact.expires_at).min()
    }

    /// The moment at which the last contact is over.
    #[must_use]
    pub fn last_expiry(&self) -> Option<Timestamp> {
        self.contacts.iter().map(|contact| contact.expires_at).max()
    }

    /// Applies an authenticated request to what was there; all of it or nothing.
    ///
    /// # Errors
    /// [`UpdateRefusal`].
    pub fn apply(
        before: Option<Self>,
        request: &RegisterRequest,
        proof: &ProvenIdentity,
        policy: &RegistrationPolicy,
        now: Timestamp,
    ) -> Result<Applied, UpdateRefusal> {
        let mut registration = before.unwrap_or_else(|| Self {
            impu: request.impu.clone(),
            impi: request.impi.clone(),
            associated_impus: Vec::new(),
            visitor: proof.visitor,
            authenticated_at: proof.authenticated_at,
            contacts: Vec::new(),
        });
        let expired = registration.prune(now);
        registration.impi = request.impi.clone();
        registration.associated_impus = proof.associated_impus.clone();
        registration.visitor = proof.visitor;
        registration.authenticated_at = proof.authenticated_at;
        let mut changes = vec![RegistrationChange::Expired; expired];
        match &request.contacts {
            ContactChange::Query => {}
            ContactChange::RemoveAll => {
                for contact in &registration.contacts {
                    in_order(contact, request)?;
                }
                changes.extend(registration.contacts.drain(..).map(|_| RegistrationChange::Deregistered));
            }
            ContactChange::Update(updates) => {
                for update in updates {
                    changes.extend(registration.update(update, request, policy, now)?);
                }
                if registration.contacts.len() > policy.maximum_contacts {
                    return Err(UpdateRefusal::TooManyContacts { maximum: policy.maximum_contacts });
                }
            }
        }
        let registration = Some(registration).filter(|registration| !registration.contacts.is_empty());
        Ok(Applied { registration, changes })
    }

    fn update(
        &mut self,
        update: &ContactUpdate,
        request: &RegisterRequest,
        policy: &RegistrationPolicy,
        now: Timestamp,
    ) -> Result<Option<RegistrationChange>, UpdateRefusal> {
        let lifetime = policy.lifetime(update)?;
        let known = self.contacts.iter().position(|contact| is_same(contact, update));
        let registered_at = match known {
            Some(index) => {
                in_order(&self.contacts[index], request)?;
                self.contacts[index].registered_at
            }
            None => now,
        };
        if lifetime.is_zero() {
            return Ok(known.map(|index| {
                self.contacts.remove(index);
                RegistrationChange::Deregistered
            }));
        }
        let contact = Contact {
            uri: update.uri.clone(),
            preference_thousandths: update.preference_thousandths,
            instance_id: update.instance_id.clone(),
            parameters: update.parameters.clone(),
            transport: request.source.transport,
            source_address: request.source.address,
            connection: request.source.connection.clone(),
            user_agent: request.user_agent.clone(),
            call_id: request.call_id.clone(),
            sequence: request.sequence,
            path: request.path.clone(),
            registered_at,
            expires_at: now.saturating_add(lifetime),
        };
        Ok(Some(match known {
            Some(index) => {
                self.contacts[index] = contact;
                RegistrationChange::Refreshed
            }
            None => {
                self.contacts.push(contact);
                RegistrationChange::Registered
            }
        }))
    }
}

/// Who a request was proven to come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvenIdentity {
    /// All public user identities of the user, the registered one first.
    pub associated_impus: Vec<Impu>,
    /// Whether her primary MC system authenticated her.
    pub visitor: bool,
    /// When.
    pub authenticated_at: Timestamp,
}

fn is_same(contact: &Contact, update: &ContactUpdate) -> bool {
    SipAddress::parse(&contact.uri).is_ok_and(|address| address == update.address)
}

/// RFC 3261 10.3 step 7: within one `Call-ID` the sequence number must rise.
fn in_order(contact: &Contact, request: &RegisterRequest) -> Result<(), UpdateRefusal> {
    if contact.call_id == request.call_id && request.sequence <= contact.sequence {
        return Err(UpdateRefusal::OutOfOrder);
    }
    Ok(())
}

mod micros {
    use mcx_types::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(at.as_micros())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        i64::deserialize(deserializer).map(Timestamp::from_micros)
    }
}

#[cfg(test)]
mod tests;
