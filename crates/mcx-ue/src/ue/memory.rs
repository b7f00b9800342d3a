//! What a UE remembers: in a file of its owner's alone, written whole or not at all.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mcx_aka::isim::SequenceArray;
use mcx_proto::types::v1::{AccessInformation, InitialUeConfiguration};
use mcx_types::{McService, McServiceId, Subject, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::UeError;
use crate::documents::{Documents, decoded, encoded};
use crate::identity::TokenSet;
use crate::state::StateMachine;

/// Everything that must outlast the process.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Memory {
    /// Of the form of this file.
    version: u32,
    pub(super) ue_id: String,
    /// The MC client: stays the same on one UE.
    pub(super) client_instance: Uuid,
    /// The request for the initial UE configuration that was not answered yet.
    #[serde(default)]
    pub(super) enrolment_request: Option<Uuid>,
    pub(super) machine: StateMachine,
    pub(super) primary: Option<PrimaryMemory>,
    pub(super) partner: Option<PartnerMemory>,
}

/// What is known of the primary MC system.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct PrimaryMemory {
    #[serde(with = "message")]
    pub(super) configuration: Box<InitialUeConfiguration>,
    #[serde(with = "tokens")]
    pub(super) tokens: Option<TokenSet>,
    pub(super) documents: Documents,
}

/// What is known of the partner MC system.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct PartnerMemory {
    #[serde(with = "message")]
    pub(super) access_information: Box<AccessInformation>,
    #[serde(with = "tokens")]
    pub(super) tokens: Option<TokenSet>,
    pub(super) documents: Documents,
    /// The contact that was registered last, or was to be.
    #[serde(default)]
    pub(super) contact: Option<String>,
}

/// The form of the file that this version writes.
const VERSION: u32 = 1;

impl Memory {
    pub(super) fn factory_new(ue_id: String) -> Self {
        Self {
            version: VERSION,
            ue_id,
            client_instance: Uuid::new_v4(),
            enrolment_request: None,
            machine: StateMachine::default(),
            primary: None,
            partner: None,
        }
    }
}

/// The memory and its file. Clones share both.
#[derive(Clone)]
pub(super) struct Keeper {
    memory: Arc<Mutex<Memory>>,
    file: Option<PathBuf>,
}

impl Keeper {
    /// What the file remembers; a factory-new UE where there is none.
    pub(super) fn open(file: Option<PathBuf>, ue_id: &str) -> Result<Self, UeError> {
        let memory = match &file {
            Some(path) => read(path).map_err(|source| UeError::Storage { path: path.clone(), source })?,
            None => None,
        };
        let memory = memory.unwrap_or_else(|| Memory::factory_new(ue_id.to_owned()));
        if memory.ue_id != ue_id {
            let source = io::Error::other(format!("is the memory of another ue, {}", memory.ue_id));
            return Err(UeError::Storage { path: file.unwrap_or_default(), source });
        }
        Ok(Self { memory: Arc::new(Mutex::new(memory)), file })
    }

    pub(super) fn read(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the memory, and keeps it before anybody acts on it.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Memory) -> T) -> Result<T, UeError> {
        let mut memory = self.read();
        let outcome = change(&mut memory);
        if let Some(path) = &self.file {
            let content =
                Zeroizing::new(serde_json::to_vec(&*memory).map_err(|error| UeError::Storage {
                    path: path.clone(),
                    source: io::Error::other(error),
                })?);
            write_private(path, &content)
                .map_err(|source| UeError::Storage { path: path.clone(), source })?;
        }
        Ok(outcome)
    }
}

fn read(path: &Path) -> io::Result<Option<Memory>> {
    let content = match fs::read(path) {
        Ok(content) => Zeroizing::new(content),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // The text of the error may repeat what it could not read.
    let memory: Memory = serde_json::from_slice(&content)
        .map_err(|error| io::Error::other(format!("is no memory of a ue (line {})", error.line())))?;
    if memory.version == VERSION {
        Ok(Some(memory))
    } else {
        Err(io::Error::other(format!("is a memory of version {}, not {VERSION}", memory.version)))
    }
}

/// Writes a file that only its owner may read. Another process sees the old content or the new, never a part.
fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Such a file is made with mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// The sequence numbers of the ISIM, which every user agent of the UE shares.
#[derive(Clone)]
pub(super) struct IsimMemory {
    sequences: Arc<Mutex<SequenceArray>>,
    file: Option<PathBuf>,
}

impl IsimMemory {
    pub(super) fn open(file: Option<PathBuf>) -> Result<Self, UeError> {
        let sequences = match &file {
            Some(path) => {
                read_sequences(path).map_err(|source| UeError::Storage { path: path.clone(), source })?
            }
            None => SequenceArray::default(),
        };
        Ok(Self { sequences: Arc::new(Mutex::new(sequences)), file })
    }

    pub(super) fn sequences(&self) -> SequenceArray {
        self.sequences.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Keeps what one user agent has seen, beside what others have: of each number the higher one.
    pub(super) fn keep(&self, seen: &SequenceArray) -> io::Result<()> {
        let mut sequences = self.sequences.lock().unwrap_or_else(PoisonError::into_inner);
        let mut merged = sequences.to_integers();
        for (kept, seen) in merged.iter_mut().zip(seen.to_integers()) {
            *kept = (*kept).max(seen);
        }
        *sequences = SequenceArray::try_from(merged.as_slice()).map_err(io::Error::other)?;
        match &self.file {
            Some(path) => write_private(path, &serde_json::to_vec(&merged)?),
            None => Ok(()),
        }
    }
}

fn read_sequences(path: &Path) -> io::Result<SequenceArray> {
    match fs::read(path) {
        Ok(content) => {
            let values: Vec<u64> = serde_json::from_slice(&content)?;
            SequenceArray::try_from(values.as_slice()).map_err(io::Error::other)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(SequenceArray::default()),
        Err(error) => Err(error),
    }
}

/// A message of the protocol, as text.
mod message {
    use prost::Message;
    use serde::de::Error;

    use super::{Deserialize, Deserializer, Serializer, decoded, encoded};

    pub(super) fn serialize<M: Message, S: Serializer>(
        message: &M,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&encoded(message))
    }

    pub(super) fn deserialize<'de, M: Message + Default, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Box<M>, D::Error> {
        let text = String::deserialize(deserializer)?;
        decoded(&text).ok_or_else(|| D::Error::custom("a message cannot be read"))
    }
}

/// Tokens, in the clear: the file is the only place where they are.
mod tokens {
    use super::{
        Deserialize, Deserializer, ExposeSecret, McService, McServiceId, SecretString, Serialize, Serializer,
        Subject, Timestamp, TokenSet,
    };

    #[derive(Serialize, Deserialize)]
    struct StoredTokens {
        #[serde(serialize_with = "exposed")]
        access_token: SecretString,
        #[serde(serialize_with = "exposed_if_any")]
        refresh_token: Option<SecretString>,
        expires_at_micros: i64,
        subject: Option<Subject>,
        mc_service_identities: Vec<(McService, McServiceId)>,
    }

    fn exposed<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(secret.expose_secret())
    }

    fn exposed_if_any<S: Serializer>(
        secret: &Option<SecretString>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        secret.as_ref().map(ExposeSecret::expose_secret).serialize(serializer)
    }

    pub(super) fn serialize<S: Serializer>(
        tokens: &Option<TokenSet>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let stored = tokens.as_ref().map(|tokens| StoredTokens {
            access_token: tokens.access_token.clone(),
            refresh_token: tokens.refresh_token.clone(),
            expires_at_micros: tokens.expires_at.as_micros(),
            subject: tokens.subject.clone(),
            mc_service_identities: tokens.mc_service_identities.clone(),
        });
        stored.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<TokenSet>, D::Error> {
        let stored = Option::<StoredTokens>::deserialize(deserializer)?;
        Ok(stored.map(|stored| TokenSet {
            access_token: stored.access_token,
            refresh_token: stored.refresh_token,
            expires_at: Timestamp::from_micros(stored.expires_at_micros),
            subject: stored.subject,
            mc_service_identities: stored.mc_service_identities,
        }))
    }
}
