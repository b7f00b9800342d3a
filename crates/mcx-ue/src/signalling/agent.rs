//! The signalling user agent itself.

use super::connection::Connection;
use super::error::SignallingError;
use super::reply::{self, SignallingRegistration};
use super::settings::{
    Direction, Observer, Randomness, SignallingEvent, SignallingSettings, SignallingTransport,
};
use bytes::Bytes;
use ezk_sip_types::Name;
use mcx_aka::digest::{self, DigestAlgorithm, DigestInput, DigestKey, QopParameters, QualityOfProtection};
use mcx_aka::isim::{Isim, IsimFailure, SequenceArray};
use mcx_sip::{BRANCH_PREFIX, DigestChallenge, DigestCredentials, RequestBuilder, Response};
use std::io;
use std::time::Duration;

/// Rounds of challenge and answer in one registration: a first challenge, a resynchronisation, a stale nonce, and one to spare.
const MAXIMUM_ROUNDS: usize = 5;

/// Keeps the sequence numbers of the ISIM before an answer made with them leaves the UE, so that no challenge is answered twice,
/// not even after a crash.
pub type SequenceKeeper = Box<dyn FnMut(&SequenceArray) -> io::Result<()> + Send + Sync>;

/// A user agent that registers one public user identity at one SIP core.
pub struct SignallingUserAgent {
    settings: SignallingSettings,
    isim: Isim,
    connection: Connection,
    /// Something was sent on it, or it could not be opened anew.
    is_connection_used: bool,
    randomness: Randomness,
    observer: Option<Observer>,
    keeper: Option<SequenceKeeper>,
    contact: String,
    instance: String,
    call_id: String,
    from_tag: String,
    sequence: u32,
}

/// What the next REGISTER asks for.
#[derive(Clone, Copy)]
enum Ask {
    Register(Duration),
    DeregisterThis,
    DeregisterAll,
}

/// How the next REGISTER answers the last challenge.
enum Answer {
    /// There was none: the first one of a registration.
    None,
    /// With the response of the ISIM.
    Response { challenge: DigestChallenge, algorithm: DigestAlgorithm, key: DigestKey },
    /// With the resynchronisation token of the ISIM.
    Resynchronise { challenge: DigestChallenge, algorithm: DigestAlgorithm, auts: String },
    /// With an empty response: the network did not authenticate itself (TS 24.229 5.1.1.5.3).
    Refuse { challenge: DigestChallenge },
}

impl SignallingUserAgent {
    /// Opens a connection; nothing is registered yet.
    ///
    /// # Errors
    /// [`SignallingError::Connection`]; [`SignallingError::TimedOut`] where the SIP core is silent.
    pub async fn connect(
        settings: SignallingSettings,
        isim: Isim,
        randomness: Randomness,
    ) -> Result<Self, SignallingError> {
        let connection = Connection::open(&settings).await?;
        let user = settings.impu.as_str().split([':', '@']).nth(1).unwrap_or("ue").to_owned();
        let transport = match settings.transport {
            SignallingTransport::Udp => "",
            SignallingTransport::Tcp => ";transport=tcp",
            SignallingTransport::Tls { .. } => ";transport=tls",
        };
        let contact = format!("sip:{user}@{}{transport}", connection.local());
        Ok(Self {
            contact,
            instance: uuid_urn(randomness()),
            call_id: format!("{:032x}", randomness()),
            from_tag: format!("{:016x}", randomness() as u64),
            sequence: 0,
            settings,
            isim,
            connection,
            is_connection_used: false,
            randomness,
            observer: None,
            keeper: None,
        })
    }

    /// Tells `observer` of every message from now on.
    pub fn observe(&mut self, observer: Observer) {
        self.observer = Some(observer);
    }

    /// Hands the sequence numbers of the ISIM to `keeper` from now on, before each answer leaves.
    pub fn keep_sequences_with(&mut self, keeper: SequenceKeeper) {
        self.keeper = Some(keeper);
    }

    /// The contact that is registered.
    #[must_use]
    pub fn contact(&self) -> &str {
        &self.contact
    }

    /// What the ISIM must remember until next time.
    #[must_use]
    pub fn sequences(&self) -> &SequenceArray {
        self.isim.sequences()
    }

    /// Registers, or refreshes the registration.
    ///
    /// # Errors
    /// [`SignallingError`].
    pub async fn register(&mut self) -> Result<SignallingRegistration, SignallingError> {
        self.run(Ask::Register(self.settings.expires)).await
    }

    /// Removes the own contact.
    ///
    /// # Errors
    /// [`SignallingError`].
    pub async fn deregister(&mut self) -> Result<SignallingRegistration, SignallingError> {
        self.run(Ask::DeregisterThis).await
    }

    /// Removes a contact that an earlier user agent of the same UE has registered.
    ///
    /// # Errors
    /// [`SignallingError`].
    pub async fn deregister_contact(
        &mut self,
        contact: &str,
    ) -> Result<SignallingRegistration, SignallingError> {
        contact.clone_into(&mut self.contact);
        self.run(Ask::DeregisterThis).await
    }

    /// Removes all contacts of the public user identity, those of other UEs too.
    ///
    /// # Errors
    /// [`SignallingError`].
    pub async fn deregister_all(&mut self) -> Result<SignallingRegistration, SignallingError> {
        self.run(Ask::DeregisterAll).await
    }

    async fn run(&mut self, mut ask: Ask) -> Result<SignallingRegistration, SignallingError> {
        let mut answer = Answer::None;
        let (mut answered, mut resynchronised) = (0, false);
        // A SIP core that was away since, or is about to end, has closed the connection, which is seen only when it is used.
        let mut may_be_closed = self.is_connection_used;
        for _ in 0..MAXIMUM_ROUNDS {
            let (label, response) = match self.exchange(ask, &answer).await {
                Err(SignallingError::Connection(_)) if std::mem::take(&mut may_be_closed) => {
                    self.exchange(ask, &answer).await?
                }
                exchanged => exchanged?,
            };
            may_be_closed = true;
            tracing::debug!(label, status = response.status, "signalling exchange");
            match response.status {
                200 => {
                    let registration = reply::registration(&response, &self.contact)?;
                    let challenges_answered = answered;
                    return Ok(SignallingRegistration {
                        challenges_answered,
                        resynchronised,
                        ..registration
                    });
                }
                _ if matches!(answer, Answer::Refuse { .. }) => {
                    return Err(SignallingError::NetworkAuthenticationFailed);
                }
                401 => {
                    let challenge = self.challenge(&response)?;
                    let was_answered = matches!(answer, Answer::Response { .. });
                    if was_answered && !challenge.0.stale {
                        return Err(SignallingError::ResponseRefused);
                    }
                    answer = self.answer(challenge)?;
                    match &answer {
                        Answer::Response { .. } => answered += 1,
                        Answer::Resynchronise { .. } if resynchronised => {
                            return Err(SignallingError::ResynchronisationFailed);
                        }
                        Answer::Resynchronise { .. } => resynchronised = true,
                        Answer::Refuse { .. } | Answer::None => {}
                    }
                }
                403 => return Err(SignallingError::Forbidden),
                423 => {
                    ask = longer(ask, &response)?;
                    answer = Answer::None;
                }
                status @ (503 | 504) => {
                    let retry_after = reply::retry_after(&response);
                    return Err(SignallingError::ServerUnavailable { status, retry_after });
                }
                status => return Err(SignallingError::Rejected { status, reason: response.reason }),
            }
        }
        Err(SignallingError::Malformed("endless challenges"))
    }

    /// The first challenge of an algorithm we know and accept.
    fn challenge(&self, response: &Response) -> Result<(DigestChallenge, DigestAlgorithm), SignallingError> {
        let mut offered = String::new();
        for value in response.header_values(Name::WWW_AUTHENTICATE) {
            let Ok(challenge) = DigestChallenge::parse(value) else { continue };
            match challenge.algorithm.parse() {
                Ok(algorithm) if self.settings.algorithms.contains(&algorithm) => {
                    return Ok((challenge, algorithm));
                }
                _ => offered = challenge.algorithm,
            }
        }
        if offered.is_empty() {
            return Err(SignallingError::Malformed("401 without a digest challenge"));
        }
        Err(SignallingError::AlgorithmNotAccepted { offered, accepted: self.settings.algorithms.clone() })
    }

    /// Asks the ISIM (TS 33.102 6.3.3).
    fn answer(
        &mut self,
        (challenge, algorithm): (DigestChallenge, DigestAlgorithm),
    ) -> Result<Answer, SignallingError> {
        if challenge.realm != self.settings.realm.as_str() {
            return Err(SignallingError::Malformed("challenge of another realm"));
        }
        let (rand, autn, _) = digest::parse_nonce(&challenge.nonce)
            .map_err(|_| SignallingError::Malformed("nonce is not RAND and AUTN"))?;
        match self.isim.authenticate(&rand, &autn) {
            Ok(answer) => {
                if let Some(keeper) = &mut self.keeper {
                    keeper(self.isim.sequences()).map_err(SignallingError::SequencesNotKept)?;
                }
                let key = answer.digest_key(algorithm);
                Ok(Answer::Response { challenge, algorithm, key })
            }
            Err(IsimFailure::SynchronisationFailure { auts }) => {
                Ok(Answer::Resynchronise { challenge, algorithm, auts: auts.to_base64() })
            }
            Err(IsimFailure::MacFailure) => Ok(Answer::Refuse { challenge }),
        }
    }

    async fn exchange(
        &mut self,
        ask: Ask,
        answer: &Answer,
    ) -> Result<(&'static str, Response), SignallingError> {
        let label = match answer {
            Answer::None => "REGISTER",
            Answer::Response { .. } => "REGISTER (response)",
            Answer::Resynchronise { .. } => "REGISTER (auts)",
            Answer::Refuse { .. } => "REGISTER (network refused)",
        };
        let branch = format!("{BRANCH_PREFIX}{:032x}", (self.randomness)());
        let request = self.request(ask, &branch, &self.credentials(answer)?);
        self.tell(Direction::Sent, label, &request);
        let observer = self.observer.clone();
        let retransmitted = || {
            if let Some(observer) = &observer {
                let (label, message) = (label.to_owned(), request.clone());
                observer(&SignallingEvent { direction: Direction::Retransmitted, label, message });
            }
        };
        let deadline = self.settings.response_deadline;
        self.is_connection_used = true;
        let exchanged = self.connection.exchange(&request, &branch, deadline, retransmitted).await;
        if let Err(SignallingError::Connection(_)) = &exchanged {
            // The next request may find a SIP core that came back.
            self.connection = Connection::open(&self.settings).await?;
        }
        let (response, bytes) = exchanged?;
        self.tell(Direction::Received, &format!("{} {}", response.status, response.reason), &bytes);
        Ok((label, response))
    }

    fn request(&mut self, ask: Ask, branch: &str, credentials: &DigestCredentials) -> Bytes {
        self.sequence += 1;
        let settings = &self.settings;
        let via = format!(
            "SIP/2.0/{} {};branch={branch};rport",
            settings.transport.via_name(),
            self.connection.local()
        );
        let own_contact = || {
            let mut value = format!("<{}>;+sip.instance=\"<{}>\"", self.contact, self.instance);
            for parameter in &settings.contact_parameters {
                value.push(';');
                value.push_str(parameter);
            }
            value
        };
        let (contact, expires) = match ask {
            Ask::Register(expires) => (own_contact(), expires.as_secs()),
            Ask::DeregisterThis => (own_contact(), 0),
            Ask::DeregisterAll => ("*".to_owned(), 0),
        };
        RequestBuilder::new("REGISTER", &format!("sip:{}", settings.realm))
            .header("Via", &via)
            .header("Max-Forwards", "70")
            .header("From", &format!("<{}>;tag={}", settings.impu, self.from_tag))
            .header("To", &format!("<{}>", settings.impu))
            .header("Call-ID", &self.call_id)
            .header("CSeq", &format!("{} REGISTER", self.sequence))
            .header("Contact", &contact)
            .header("Expires", &expires.to_string())
            .header("Supported", "path")
            .header("User-Agent", &settings.user_agent)
            .header("Authorization", &credentials.to_string())
            .finish()
    }

    fn credentials(&self, answer: &Answer) -> Result<DigestCredentials, SignallingError> {
        let blank = DigestCredentials {
            username: self.settings.impi.to_string(),
            realm: self.settings.realm.to_string(),
            uri: format!("sip:{}", self.settings.realm),
            ..DigestCredentials::default()
        };
        match answer {
            Answer::None => Ok(blank),
            Answer::Refuse { challenge } => Ok(DigestCredentials {
                nonce: challenge.nonce.clone(),
                algorithm: Some(challenge.algorithm.clone()),
                opaque: challenge.opaque.clone(),
                ..blank
            }),
            Answer::Response { challenge, algorithm, key } => {
                self.sign(blank, challenge, *algorithm, key, None)
            }
            Answer::Resynchronise { challenge, algorithm, auts } => {
                let key = DigestKey::empty_for_resynchronisation();
                self.sign(blank, challenge, *algorithm, &key, Some(auts.clone()))
            }
        }
    }

    fn sign(
        &self,
        blank: DigestCredentials,
        challenge: &DigestChallenge,
        algorithm: DigestAlgorithm,
        key: &DigestKey,
        auts: Option<String>,
    ) -> Result<DigestCredentials, SignallingError> {
        let protected = challenge.qop.iter().any(|option| option.eq_ignore_ascii_case("auth"));
        let cnonce = format!("{:016x}", (self.randomness)() as u64);
        let nonce_count = "00000001";
        let qop = protected.then_some(QopParameters {
            quality: QualityOfProtection::Authentication,
            nonce_count,
            cnonce: &cnonce,
        });
        let input = DigestInput {
            username: &blank.username,
            realm: &blank.realm,
            method: "REGISTER",
            uri: &blank.uri,
            nonce: &challenge.nonce,
            qop,
        };
        let response = digest::response(&input, algorithm, key)
            .map_err(|_| SignallingError::Malformed("challenge is beyond the limits of digest"))?;
        Ok(DigestCredentials {
            nonce: challenge.nonce.clone(),
            response,
            algorithm: Some(algorithm.token().to_owned()),
            opaque: challenge.opaque.clone(),
            qop: protected.then(|| "auth".to_owned()),
            nc: protected.then(|| nonce_count.to_owned()),
            cnonce: protected.then_some(cnonce),
            auts,
            ..blank
        })
    }

    fn tell(&self, direction: Direction, label: &str, message: &Bytes) {
        if let Some(observer) = &self.observer {
            observer(&SignallingEvent { direction, label: label.to_owned(), message: message.clone() });
        }
    }
}

/// 423: ask again for what the SIP core wants at least (RFC 3261 10.2.8).
fn longer(ask: Ask, response: &Response) -> Result<Ask, SignallingError> {
    let minimum = response.header(Name::MIN_EXPIRES).and_then(|seconds| seconds.trim().parse().ok());
    match (ask, minimum.map(Duration::from_secs)) {
        (Ask::Register(expires), Some(minimum)) if minimum > expires => Ok(Ask::Register(minimum)),
        _ => Err(SignallingError::Malformed("423 without a longer Min-Expires")),
    }
}

/// A version 4 UUID as a URN: the instance of RFC 5626 4.1.
fn uuid_urn(random: u128) -> String {
    let bits = random & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    format!("urn:uuid:{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
