//! Connections to Postgres: each service sees its own schema only.

use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgPool};

use crate::config::{DatabaseConfig, OpenError};

/// A connection idle for longer than this is asked for a sign of life before it is used, so that a restart of the
/// server costs no request; more often would cost every request a round trip.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);

/// How long a transaction may hold its locks while its service says nothing, which only a dead replica does.
const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(30);

pub(super) fn connect_options(
    url: &SecretString,
    schema: &'static str,
) -> Result<PgConnectOptions, OpenError> {
    let options = PgConnectOptions::from_str(url.expose_secret())
        .map_err(|_| OpenError::UrlInvalid { expected: "postgres://user:password@host:5432/database" })?;
    Ok(options.application_name(schema).options([("search_path", schema)]).disable_statement_logging())
}

pub(super) fn pool(config: &DatabaseConfig, options: PgConnectOptions) -> PgPool {
    let options = options.options([
        // What was committed is handed on at once: a server set to lose commits in a crash would have it issued again.
        ("synchronous_commit", "on".to_owned()),
        ("statement_timeout", format!("{}ms", config.statement_timeout.as_millis())),
        ("idle_in_transaction_session_timeout", format!("{}ms", IDLE_IN_TRANSACTION.as_millis())),
    ]);
    PgPoolOptions::new()
        .max_connections(config.max_connections)
        .acquire_timeout(config.acquire_timeout)
        .test_before_acquire(false)
        .before_acquire(|connection, metadata| {
            Box::pin(async move {
                if metadata.idle_for > TRUSTED_IDLE {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(options)
}
