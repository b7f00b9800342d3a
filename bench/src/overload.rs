//! Twice as many lookups as the systems can do: how many are answered all the same.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::load::overload;
use crate::report::Report;
use crate::signalling::{Extent, MANY_STREAMS, some_user};
use crate::subject::{self, Subject};

/// What is answered under overload.
pub(crate) const GOODPUT: &str = "federated lookup, at 2 × saturation, answered";

/// A caller gives up after this: the deadline of a registration is not much longer.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long the systems may take to answer again when the overload is over.
const CATCHES_UP_WITHIN: Duration = Duration::from_secs(30);

/// How many runs of the usual length it takes until queues are as long as they get.
const RUNS: u32 = 3;

/// Measures after the lookups at saturation, of which it takes twice the rate.
pub(crate) async fn measure(report: &mut Report, subject: &Subject, extent: &Extent) -> Result<()> {
    let saturation = report.samples(&format!("federated lookup, {MANY_STREAMS} streams"));
    let rate = 2.0 * saturation.last().context("saturation is measured before")?;
    let (client, users) = (subject.federated_client()?, subject.users);
    let call = move |number| {
        let lookup = subject::look_up_federated(client.clone(), some_user(number, users));
        async move { tokio::time::timeout(PATIENCE, lookup).await.context("the caller gave up")? }
    };
    let (answered, failed) = overload(rate as u32, extent.run * RUNS, call.clone()).await?;
    // What comes next is measured on systems that have caught up.
    let caught_up = async { while call(0).await.is_err() {} };
    tokio::time::timeout(CATCHES_UP_WITHIN, caught_up).await.context("the systems do not recover")?;
    report.add(GOODPUT, "1/s", answered.rate());
    report.add("federated lookup, at 2 × saturation, answered, p99", "ms", answered.latency_ms(0.99));
    let share = failed as f64 / (failed + answered.count()).max(1) as f64;
    report.add("federated lookup, at 2 × saturation, refused or given up", "%", share * 100.0);
    Ok(())
}
