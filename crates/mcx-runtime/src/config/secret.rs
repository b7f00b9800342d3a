//! Secrets in a configuration: named by a file, or given in place, and masked wherever the configuration is shown.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Where a secret comes from: `{ file = "/run/secrets/key" }`, which is preferred, or `{ value = "…" }`.
///
/// In the environment: `CROSSBAND_<SECTION>__<KEY>__FILE` or `CROSSBAND_<SECTION>__<KEY>__VALUE`.
#[derive(Debug, Clone)]
pub enum SecretSource {
    /// The path of the file that holds the secret; one line end at its end is not part of it.
    File(PathBuf),
    /// The secret itself.
    Value(SecretString),
}

/// Why a secret could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("cannot read the secret in {}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// There is nothing in it.
    #[error("the secret in {} is empty", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

impl SecretSource {
    /// Reads the secret.
    ///
    /// # Errors
    /// [`SecretError`] where the file cannot be read as text or is empty.
    pub fn read(&self) -> Result<SecretString, SecretError> {
        match self {
            Self::Value(secret) => Ok(secret.clone()),
            Self::File(path) => read_file(path),
        }
    }
}

fn read_file(path: &Path) -> Result<SecretString, SecretError> {
    let mut text = std::fs::read_to_string(path)
        .map_err(|source| SecretError::Unreadable { path: path.to_owned(), source })?;
    // Editors and `echo` end a file with a line end that nobody means as part of the secret.
    let without_line_end = text.strip_suffix("\r\n").or_else(|| text.strip_suffix('\n')).map(str::len);
    text.truncate(without_line_end.unwrap_or(text.len()));
    if text.is_empty() {
        return Err(SecretError::Empty { path: path.to_owned() });
    }
    Ok(SecretString::from(text))
}

impl PartialEq for SecretSource {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File(this), Self::File(that)) => this == that,
            (Self::Value(this), Self::Value(that)) => this.expose_secret() == that.expose_secret(),
            _ => false,
        }
    }
}

impl Serialize for SecretSource {
    /// Masked: what is printed tells where the secret is, never what it is.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match self {
            Self::File(path) => map.serialize_entry("file", path)?,
            Self::Value(_) => map.serialize_entry("value", "********")?,
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretSourceVisitor)
    }
}

/// Written by hand because a derived one repeats what it refuses, which may be the secret.
struct SecretSourceVisitor;

impl<'de> Visitor<'de> for SecretSourceVisitor {
    type Value = SecretSource;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a table with either `file` or `value`")
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<SecretSource, E> {
        Err(E::custom("must be a table with either `file` or `value`, not the bare secret"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<SecretSource, A::Error> {
        let mut source = None;
        while let Some(key) = map.next_key::<String>()? {
            let next = match key.as_str() {
                "file" => SecretSource::File(map.next_value()?),
                "value" => SecretSource::Value(SecretString::from(map.next_value::<String>()?)),
                unknown => return Err(A::Error::unknown_field(unknown, &["file", "value"])),
            };
            if source.replace(next).is_some() {
                return Err(A::Error::custom("must have either `file` or `value`, not both"));
            }
        }
        source.ok_or_else(|| A::Error::custom("must have either `file` or `value`"))
    }
}

impl JsonSchema for SecretSource {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SecretSource".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let either = |key: &str, description: &str| {
            serde_json::json!({
                "type": "object",
                "properties": { key: { "type": "string", "description": description } },
                "required": [key],
                "additionalProperties": false,
            })
        };
        schemars::json_schema!({
            "description": "A secret, named by a file (preferred) or given in place.",
            "oneOf": [
                either("file", "The path of the file that holds the secret."),
                either("value", "The secret itself."),
            ],
        })
    }
}
