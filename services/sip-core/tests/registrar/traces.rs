//! One trace covers the whole of TS 23.280 10.1.6.2 at the SIP core: both REGISTERs of it.

use crate::rig::Rig;
use opentelemetry::trace::{SpanId, TraceId, TracerProvider};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tracing_subscriber::layer::SubscriberExt;

#[derive(Debug, Clone, Default)]
struct Collected(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Collected {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().unwrap().extend(batch);
        Ok(())
    }
}

/// Clause and step of a span, as `10.1.6.2/4`; empty when it has none.
fn step(span: &SpanData) -> String {
    let attribute = |key: &str| {
        let found = span.attributes.iter().find(|attribute| attribute.key.as_str() == key);
        found.map(|attribute| attribute.value.to_string())
    };
    match (attribute("mcx.clause"), attribute("mcx.step")) {
        (Some(clause), Some(step)) => format!("{clause}/{step}"),
        _ => String::new(),
    }
}

#[tokio::test]
async fn both_registers_of_a_visitor_are_one_trace_in_the_steps_of_the_figure() {
    let collected = Collected::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(collected.clone()).build();
    let subscriber = tracing_subscriber::registry()
        .with(tracing_opentelemetry::layer().with_tracer(provider.tracer("test")));
    // Everything of this test runs on its thread.
    let _guard = tracing::subscriber::set_default(subscriber);
    let rig = Rig::start().await;
    let mut agent = rig.visitor_agent("udp").await;
    agent.register().await.unwrap();
    agent.deregister().await.unwrap();

    let spans = collected.0.lock().unwrap().clone();
    let registers: Vec<&SpanData> = spans.iter().filter(|span| span.name == "REGISTER").collect();
    let traces: Vec<TraceId> = registers.iter().map(|span| span.span_context.trace_id()).collect();
    assert_eq!(registers.len(), 4);
    assert_eq!((traces[0], traces[2]), (traces[1], traces[3]));
    assert_ne!(traces[0], traces[2], "another registration is another trace");

    let by_id: HashMap<SpanId, String> =
        spans.iter().map(|span| (span.span_context.span_id(), step(span))).collect();
    let mut tree: Vec<(String, String, String)> = spans
        .iter()
        .filter(|span| span.span_context.trace_id() == traces[0])
        .map(|span| {
            let parent = by_id.get(&span.parent_span_id).cloned().unwrap_or_default();
            (parent, step(span), span.name.to_string())
        })
        .collect();
    tree.sort();
    let row = |parent: &str, step: &str, name: &str| (parent.to_owned(), step.to_owned(), name.to_owned());
    assert_eq!(
        tree,
        [
            row("", "10.1.6.2/1", "REGISTER"),
            row("10.1.6.2/1", "10.1.6.2/10", "REGISTER"),
            row("10.1.6.2/1", "10.1.6.2/10", "challenge the user"),
            row("10.1.6.2/1", "10.1.6.2/2", "get SIP authentication information"),
            row("10.1.6.2/10", "10.1.6.2/10", "verify the answer"),
            row("10.1.6.2/10", "10.1.6.2/11", "register and answer"),
        ]
    );
}

#[tokio::test]
async fn no_span_or_log_shows_what_authenticates() {
    let collected = Collected::default();
    let provider = SdkTracerProvider::builder().with_simple_exporter(collected.clone()).build();
    let subscriber = tracing_subscriber::registry()
        .with(tracing_opentelemetry::layer().with_tracer(provider.tracer("test")));
    let _guard = tracing::subscriber::set_default(subscriber);
    let rig = Rig::start().await;
    let secrets = crate::home::secrets_of_first_vector();
    let sent: Arc<Mutex<Vec<String>>> = Arc::default();
    let mut agent = rig.visitor_agent("udp").await;
    let seen = Arc::clone(&sent);
    agent.observe(Arc::new(move |event| {
        seen.lock().unwrap().push(String::from_utf8(event.message.to_vec()).unwrap());
    }));
    agent.register().await.unwrap();
    let response = sent.lock().unwrap().iter().find_map(|message| {
        let (_, rest) = message.split_once("response=\"")?;
        let (response, _) = rest.split_once('"')?;
        (!response.is_empty()).then(|| response.to_owned())
    });
    let told = format!("{:?}", collected.0.lock().unwrap());
    assert!(told.contains("registered"), "events are collected too");
    for secret in secrets.into_iter().chain([response.unwrap()]) {
        assert!(!told.contains(&secret));
    }
}
