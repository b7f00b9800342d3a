//! Log lines as JSON, with the ids of the trace and span they belong to.
//!
//! The JSON format of `tracing-subscriber` knows nothing of OpenTelemetry, hence this layer.

use std::fmt;
use std::io::Write;
use std::sync::OnceLock;

use opentelemetry::trace::TraceContextExt;
use serde_json::{Map, Value};
use tracing::dispatcher::WeakDispatch;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

/// Writes each event as one line: `timestamp`, `level`, `target`, `message`, `span`, `trace_id`, `span_id`, then the
/// fields of the event and, where they do not clash, those of the spans around it, innermost first.
pub(super) struct JsonLines<W> {
    writer: W,
    dispatch: OnceLock<WeakDispatch>,
}

impl<W> JsonLines<W> {
    pub(super) fn new(writer: W) -> Self {
        Self { writer, dispatch: OnceLock::new() }
    }
}

/// The fields of a span, kept beside it until its last line is written.
struct SpanFields(Map<String, Value>);

impl<S, W> Layer<S> for JsonLines<W>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + 'static,
{
    fn on_register_dispatch(&self, dispatch: &Dispatch) {
        // Registered once; a second registration would be of the same dispatch.
        let _ = self.dispatch.set(dispatch.downgrade());
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        span.extensions_mut().insert(SpanFields(fields.0));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(SpanFields(fields)) = span.extensions_mut().get_mut() {
            let mut recorded = Fields::default();
            values.record(&mut recorded);
            fields.extend(recorded.0);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);

        let mut line = Map::new();
        let mut timestamp = String::new();
        if SystemTime.format_time(&mut Writer::new(&mut timestamp)).is_ok() {
            line.insert("timestamp".to_owned(), timestamp.into());
        }
        line.insert("level".to_owned(), event.metadata().level().as_str().into());
        line.insert("target".to_owned(), event.metadata().target().into());
        if let Some(message) = fields.0.remove("message") {
            line.insert("message".to_owned(), message);
        }
        if let Some(span) = context.event_span(event) {
            line.insert("span".to_owned(), span.name().into());
            if let Some((trace_id, span_id)) = self.ids_of(&span.id()) {
                line.insert("trace_id".to_owned(), trace_id.into());
                line.insert("span_id".to_owned(), span_id.into());
            }
        }
        merge(&mut line, &fields.0);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(SpanFields(fields)) = span.extensions().get() {
                merge(&mut line, fields);
            }
        }

        let mut text = Value::Object(line).to_string();
        text.push('\n');
        // A log that cannot be written has nowhere left to complain.
        let _ = self.writer.make_writer_for(event.metadata()).write_all(text.as_bytes());
    }
}

impl<W> JsonLines<W> {
    fn ids_of(&self, span: &Id) -> Option<(String, String)> {
        let dispatch = self.dispatch.get()?.upgrade()?;
        let context = tracing_opentelemetry::get_otel_context(span, &dispatch)?;
        let span_context = context.span().span_context().clone();
        span_context
            .is_valid()
            .then(|| (span_context.trace_id().to_string(), span_context.span_id().to_string()))
    }
}

fn merge(line: &mut Map<String, Value>, fields: &Map<String, Value>) {
    for (name, value) in fields {
        // Fields with a dot that starts with `otel` steer the export of spans and say nothing to a reader.
        if !name.starts_with("otel.") && !line.contains_key(name) {
            line.insert(name.clone(), value.clone());
        }
    }
}

#[derive(Default)]
struct Fields(Map<String, Value>);

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}").into());
    }
}
