//! `crossband healthcheck`, for containers without any other program in them.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long the process may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
pub(super) struct HealthcheckArguments {
    /// The address of the process's admin listener.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9090")]
    admin: SocketAddr,
}

pub(super) async fn run(arguments: &HealthcheckArguments) -> Result<bool> {
    let answer = timeout(PATIENCE, ask(arguments.admin))
        .await
        .with_context(|| format!("{} did not answer within {PATIENCE:?}", arguments.admin))??;
    Ok(answer.split_whitespace().nth(1) == Some("200"))
}

/// The status line and what follows it.
async fn ask(admin: SocketAddr) -> Result<String> {
    let mut connection =
        TcpStream::connect(admin).await.with_context(|| format!("cannot connect to {admin}"))?;
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    connection.take(64 * 1024).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
