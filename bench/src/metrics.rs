//! What a process tells on its admin port.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The metrics of a process, in the text format of Prometheus.
pub(crate) struct Metrics(String);

impl Metrics {
    /// Asks for them.
    pub(crate) async fn of(admin: SocketAddr) -> Result<Self> {
        let answer = get(admin, "/metrics").await?;
        ensure!(answer.starts_with("HTTP/1.1 200"), "the process has no metrics");
        Ok(Self(answer))
    }

    /// The sum of a counter over all labels, or over those lines that have a label.
    pub(crate) fn sum(&self, counter: &str, label: &str) -> f64 {
        let of_counter = |line: &&str| {
            line.strip_prefix(counter).is_some_and(|rest| rest.starts_with(['{', ' ']))
                && line.contains(label)
        };
        let values = self.0.lines().filter(of_counter).filter_map(|line| line.rsplit_once(' '));
        values.filter_map(|(_, value)| value.trim().parse::<f64>().ok()).sum()
    }
}

/// Whether a process says that it can do its work.
pub(crate) async fn is_ready(admin: SocketAddr) -> Result<bool> {
    Ok(get(admin, "/readyz").await?.starts_with("HTTP/1.1 200"))
}

async fn get(admin: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(admin).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    String::from_utf8(answer).context("the answer is text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counter_is_summed_over_its_labels_and_no_other_counter() {
        let text = "# TYPE calls counter\ncalls{of=\"ue\",code=\"OK\"} 3\ncalls{of=\"peer\"} 4\ncalls_shed{of=\"ue\"} 9\n";
        let metrics = Metrics(text.to_owned());
        assert_eq!((metrics.sum("calls", ""), metrics.sum("calls", "of=\"ue\"")), (7.0, 3.0));
    }
}
