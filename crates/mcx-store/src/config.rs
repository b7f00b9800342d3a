//! Settings of the two engines, with the credentials masked wherever they could be printed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};

/// Where a service keeps its durable state.
///
/// Exactly one of `url` and `url_file` is set. The scheme of the url chooses the engine:
/// `postgres://user:password@host:5432/database` or `sqlite:/directory`, in which every service has its own file.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DatabaseConfig {
    /// The url itself. It may hold a password, so it is masked in every print.
    #[serde(serialize_with = "masked", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub url: Option<SecretString>,
    /// A file that holds the url; surrounding white space is ignored. Preferred to `url` in production.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_file: Option<PathBuf>,
    /// Most connections open at a time (for SQLite: readers, beside the one writer). At least 1; default 16.
    pub max_connections: u32,
    /// Longest wait for a connection before the database counts as unavailable. Default 2 s.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub acquire_timeout: Duration,
    /// Longest run of one statement. Default 5 s.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub statement_timeout: Duration,
}

impl Default for DatabaseConfig {
    fn default() -> Self {
        Self {
            url: None,
            url_file: None,
            max_connections: 16,
            acquire_timeout: Duration::from_secs(2),
            statement_timeout: Duration::from_secs(5),
        }
    }
}

impl DatabaseConfig {
    /// The default settings with this url.
    pub fn from_url(url: impl Into<String>) -> Self {
        Self { url: Some(SecretString::from(url.into())), ..Self::default() }
    }

    /// Every problem with these settings, as `key: what is wrong`; empty when there is none. Reads no file.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = source_problems(&self.url, &self.url_file);
        if let Some(url) = &self.url
            && let Err(error) = DatabaseUrl::parse(url)
        {
            problems.push(format!("url: {error}"));
        }
        if self.max_connections == 0 {
            problems.push("max_connections: must be at least 1".to_owned());
        }
        if self.acquire_timeout.is_zero() {
            problems.push("acquire_timeout: must be longer than zero".to_owned());
        }
        if self.statement_timeout.is_zero() {
            problems.push("statement_timeout: must be longer than zero".to_owned());
        }
        problems
    }

    pub(crate) fn resolve(&self) -> Result<DatabaseUrl, OpenError> {
        DatabaseUrl::parse(&read_source(&self.url, &self.url_file)?)
    }
}

/// A database url taken apart.
pub(crate) enum DatabaseUrl {
    Postgres(SecretString),
    Sqlite { directory: PathBuf },
}

impl DatabaseUrl {
    fn parse(url: &SecretString) -> Result<Self, OpenError> {
        let text = url.expose_secret();
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(url.clone()));
        }
        match text.strip_prefix("sqlite:") {
            Some(rest) if !rest.is_empty() && !rest.starts_with(':') => {
                Ok(Self::Sqlite { directory: PathBuf::from(rest.strip_prefix("//").unwrap_or(rest)) })
            }
            _ => Err(OpenError::UrlInvalid { expected: "postgres://… or sqlite:/directory" }),
        }
    }
}

/// Where replicas of a service keep what they share and may lose.
///
/// Exactly one of `url` and `url_file` is set: `redis://user:password@host:6379/0`, or `memory:` when there is
/// only one replica.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CacheConfig {
    /// The url itself. It may hold a password, so it is masked in every print.
    #[serde(serialize_with = "masked", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub url: Option<SecretString>,
    /// A file that holds the url; surrounding white space is ignored. Preferred to `url` in production.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_file: Option<PathBuf>,
    /// Longest wait for one answer of Redis, connecting included. Default 500 ms.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub response_timeout: Duration,
    /// Most entries of the in-process cache; beyond it the entry nearest to its expiry goes. Default 1,000,000.
    pub max_entries: usize,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            url: None,
            url_file: None,
            response_timeout: Duration::from_millis(500),
            max_entries: 1_000_000,
        }
    }
}

impl CacheConfig {
    /// The default settings with this url.
    pub fn from_url(url: impl Into<String>) -> Self {
        Self { url: Some(SecretString::from(url.into())), ..Self::default() }
    }

    /// Every problem with these settings, as `key: what is wrong`; empty when there is none. Reads no file.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = source_problems(&self.url, &self.url_file);
        if let Some(url) = &self.url
            && let Err(error) = CacheUrl::parse(url)
        {
            problems.push(format!("url: {error}"));
        }
        if self.response_timeout.is_zero() {
            problems.push("response_timeout: must be longer than zero".to_owned());
        }
        if self.max_entries == 0 {
            problems.push("max_entries: must be at least 1".to_owned());
        }
        problems
    }

    pub(crate) fn resolve(&self) -> Result<CacheUrl, OpenError> {
        CacheUrl::parse(&read_source(&self.url, &self.url_file)?)
    }
}

/// A cache url taken apart.
pub(crate) enum CacheUrl {
    Memory,
    Redis(SecretString),
}

impl CacheUrl {
    fn parse(url: &SecretString) -> Result<Self, OpenError> {
        match url.expose_secret() {
            "memory:" => Ok(Self::Memory),
            text if text.starts_with("redis://") => Ok(Self::Redis(url.clone())),
            _ => Err(OpenError::UrlInvalid { expected: "redis://… or memory:" }),
        }
    }
}

/// Why an engine could not be set up. An unreachable server is not among these: connections are made on first use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Neither or both of `url` and `url_file` are set.
    #[error("exactly one of url and url_file must be set")]
    UrlSource,
    /// The url is not one of this engine; it is not repeated here since it may hold a password.
    #[error("not a valid url, expected {expected}")]
    UrlInvalid {
        /// The form that would be valid.
        expected: &'static str,
    },
    /// The file named by `url_file` cannot be read.
    #[error("cannot read {}", path.display())]
    UrlFile {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The directory of the SQLite files cannot be created.
    #[error("cannot create directory {}", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}

fn masked<S: Serializer>(secret: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    match secret {
        Some(_) => serializer.serialize_str("[REDACTED]"),
        None => serializer.serialize_none(),
    }
}

fn source_problems(url: &Option<SecretString>, url_file: &Option<PathBuf>) -> Vec<String> {
    if url.is_some() == url_file.is_some() {
        vec![format!("url: {}", OpenError::UrlSource)]
    } else {
        Vec::new()
    }
}

fn read_source(url: &Option<SecretString>, url_file: &Option<PathBuf>) -> Result<SecretString, OpenError> {
    match (url, url_file) {
        (Some(url), None) => Ok(url.clone()),
        (None, Some(path)) => read_secret(path),
        _ => Err(OpenError::UrlSource),
    }
}

fn read_secret(path: &Path) -> Result<SecretString, OpenError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| OpenError::UrlFile { path: path.to_owned(), source })?;
    Ok(SecretString::from(text.trim().to_owned()))
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres(_) => formatter.write_str("Postgres([REDACTED])"),
            Self::Sqlite { directory } => write!(formatter, "Sqlite({})", directory.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_never_reach_a_print() {
        let database = DatabaseConfig::from_url("postgres://mms:hunter2@db/crossband");
        let cache = CacheConfig::from_url("redis://mms:hunter2@cache/0");
        let prints = [
            format!("{database:?}"),
            format!("{cache:?}"),
            format!("{:?}", database.resolve().unwrap()),
            serde_json::to_string(&database).unwrap(),
            serde_json::to_string(&cache).unwrap(),
            DatabaseConfig::from_url("mysql://mms:hunter2@db/crossband").resolve().unwrap_err().to_string(),
        ];
        for print in prints {
            assert!(!print.contains("hunter2"), "{print}");
        }
    }

    #[test]
    fn every_problem_is_reported_at_once() {
        let config = DatabaseConfig {
            url: Some("mysql://db".into()),
            url_file: Some("/run/secrets/url".into()),
            max_connections: 0,
            acquire_timeout: Duration::ZERO,
            statement_timeout: Duration::ZERO,
        };
        assert_eq!(config.problems().len(), 5, "{:?}", config.problems());
        assert!(DatabaseConfig::from_url("sqlite:/var/lib/crossband").problems().is_empty());

        let config =
            CacheConfig { max_entries: 0, response_timeout: Duration::ZERO, ..CacheConfig::default() };
        assert_eq!(config.problems().len(), 3, "{:?}", config.problems());
        assert!(CacheConfig::from_url("memory:").problems().is_empty());
    }

    #[test]
    fn url_is_read_from_a_file_without_its_line_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "sqlite:/var/lib/crossband\n").unwrap();
        let config = DatabaseConfig { url_file: Some(file.path().to_owned()), ..DatabaseConfig::default() };
        assert_eq!(format!("{:?}", config.resolve().unwrap()), "Sqlite(/var/lib/crossband)");
    }

    #[test]
    fn unknown_keys_are_refused() {
        let outcome: Result<DatabaseConfig, _> =
            serde_json::from_str(r#"{"url": "sqlite:/data", "pool": 3}"#);
        assert!(outcome.unwrap_err().to_string().contains("unknown field"));
    }
}
