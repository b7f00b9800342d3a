//! Generates load, and keeps what it saw.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::process::cpu_time;

/// The longest latency that is told apart, in nanoseconds: a minute.
const LONGEST: u64 = 60_000_000_000;

/// What a run saw.
pub(crate) struct Seen {
    latencies: Histogram<u64>,
    elapsed: Duration,
    cpu: Duration,
}

impl Seen {
    /// Nothing yet.
    pub(crate) fn new() -> Result<Self> {
        let latencies = Histogram::new_with_bounds(1, LONGEST, 3).context("the bounds are valid")?;
        Ok(Self { latencies, elapsed: Duration::ZERO, cpu: Duration::ZERO })
    }

    /// One more call took so long.
    pub(crate) fn add(&mut self, latency: Duration) {
        self.latencies.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(LONGEST));
    }

    /// The latency that this share of the calls stayed within, in milliseconds.
    pub(crate) fn latency_ms(&self, share: f64) -> f64 {
        self.latencies.value_at_quantile(share) as f64 / 1e6
    }

    /// How many calls there were.
    pub(crate) fn count(&self) -> u64 {
        self.latencies.len()
    }

    /// Calls per second.
    pub(crate) fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }

    /// Processor time of this process per call, in microseconds: load generator, clients and servers, without Postgres.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.latencies.len().max(1) as f64
    }
}

/// Keeps so many streams busy for so long: each makes its next call when its last one has been answered. A call is given its number,
/// which no other call has.
///
/// # Errors
/// The first call that fails ends the run.
pub(crate) async fn closed_loop<Call, Calling>(streams: usize, duration: Duration, call: Call) -> Result<Seen>
where
    Call: Fn(u64) -> Calling + Clone + Send + 'static,
    Calling: Future<Output = Result<()>> + Send,
{
    let numbers = Arc::new(AtomicU64::new(0));
    let cpu_before = cpu_time()?;
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..streams {
        let (numbers, call) = (Arc::clone(&numbers), call.clone());
        tasks.spawn(async move {
            let mut seen = Seen::new()?;
            while begun.elapsed() < duration {
                let before = Instant::now();
                call(numbers.fetch_add(1, Ordering::Relaxed)).await?;
                seen.add(before.elapsed());
            }
            anyhow::Ok(seen)
        });
    }
    let mut all = Seen::new()?;
    while let Some(seen) = tasks.join_next().await {
        all.latencies.add(seen??.latencies)?;
    }
    all.elapsed = begun.elapsed();
    all.cpu = cpu_time()?.saturating_sub(cpu_before);
    Ok(all)
}

/// Begins so many calls a second, evenly spaced, whether or not earlier ones have been answered. A latency counts from the moment at which
/// the call was to begin, so that a stall is felt by every call that it delays.
///
/// # Errors
/// The first call that fails ends the run.
pub(crate) async fn open_loop<Call, Calling>(per_second: u32, duration: Duration, call: Call) -> Result<Seen>
where
    Call: Fn(u64) -> Calling + Clone + Send + 'static,
    Calling: Future<Output = Result<()>> + Send + 'static,
{
    let cpu_before = cpu_time()?;
    let begun = Instant::now();
    let mut measured = paced(per_second, duration, begun, call)?;
    let mut seen = Seen::new()?;
    while let Some(latency) = measured.recv().await {
        seen.add(latency?);
    }
    seen.elapsed = begun.elapsed();
    seen.cpu = cpu_time()?.saturating_sub(cpu_before);
    Ok(seen)
}

/// As [`open_loop`], where calls may fail: tells what those saw that did not, and how many did. The rate is that of the former until the last
/// of them was answered.
pub(crate) async fn overload<Call, Calling>(
    per_second: u32,
    duration: Duration,
    call: Call,
) -> Result<(Seen, u64)>
where
    Call: Fn(u64) -> Calling + Clone + Send + 'static,
    Calling: Future<Output = Result<()>> + Send + 'static,
{
    let begun = Instant::now();
    let mut measured = paced(per_second, duration, begun, call)?;
    let (mut seen, mut failed) = (Seen::new()?, 0);
    while let Some(latency) = measured.recv().await {
        match latency {
            Ok(latency) => {
                seen.add(latency);
                seen.elapsed = begun.elapsed();
            }
            Err(_) => failed += 1,
        }
    }
    Ok((seen, failed))
}

/// Begins so many calls a second from `begun` on; tells the latency of each, or why it failed.
fn paced<Call, Calling>(
    per_second: u32,
    duration: Duration,
    begun: Instant,
    call: Call,
) -> Result<mpsc::UnboundedReceiver<Result<Duration>>>
where
    Call: Fn(u64) -> Calling + Clone + Send + 'static,
    Calling: Future<Output = Result<()>> + Send + 'static,
{
    let interval = Duration::from_secs(1) / per_second;
    let count = u64::try_from(duration.as_nanos() / interval.as_nanos())?;
    let (latencies, measured) = mpsc::unbounded_channel();
    let runtime = Handle::current();
    // A thread of its own: the timer of the run time has a resolution of a millisecond.
    std::thread::Builder::new().name("pacer".to_owned()).spawn(move || {
        for number in 0..count {
            let intended = begun + interval * u32::try_from(number).unwrap_or(u32::MAX);
            std::thread::sleep(intended.saturating_duration_since(Instant::now()));
            let (call, latencies) = (call.clone(), latencies.clone());
            runtime.spawn(async move {
                let outcome = call(number).await.map(|()| intended.elapsed());
                // Nobody listens any more after a failure.
                let _gone = latencies.send(outcome);
            });
        }
    })?;
    Ok(measured)
}
