//! Traces: spans to an OpenTelemetry collector, if one is named. Otherwise spans cost nothing.
//!
//! The spans of [`TARGET`] are exported: one for each request, one for each insert of the projector. They have no
//! payloads.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{TraceContextExt, TracerProvider};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

/// The target of spans that are exported.
pub const TARGET: &str = "trace";

/// More links than these are of no use to a reader of the span.
pub const MAX_LINKS: usize = 128;

/// How long the last spans may take at the end.
const LAST: Duration = Duration::from_secs(3);

static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// Whether spans are exported. Otherwise nothing needs to be collected for them.
pub fn are_exported() -> bool {
    PROVIDER.get().is_some()
}

/// The layer that sends spans to the collector at `endpoint`. Sampling and the like are the SDK's own variables of the
/// environment, such as `OTEL_TRACES_SAMPLER`.
pub(crate) fn layer<S>(endpoint: &str, service: &'static str) -> anyhow::Result<impl Layer<S>>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    let url = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
    let exporter = SpanExporter::builder()
        .with_http()
        .with_endpoint(url)
        .build()
        .with_context(|| format!("OTEL_EXPORTER_OTLP_ENDPOINT {endpoint:?}"))?;
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(Resource::builder().with_service_name(service).build())
        .build();
    let tracer = provider.tracer("the-eye");
    let _ = PROVIDER.set(provider);
    let layer = tracing_opentelemetry::layer().with_tracer(tracer).with_location(false).with_threads(false);
    Ok(layer.with_filter(filter_fn(|metadata| metadata.is_span() && metadata.target() == TARGET)))
}

/// Sends what is left.
pub(crate) fn end() {
    if let Some(provider) = PROVIDER.get() {
        let _ = provider.shutdown_with_timeout(LAST);
    }
}

/// Makes `span`, which has just been made, part of the trace that `traceparent` names.
pub fn follow(span: &Span, traceparent: &str) {
    if are_exported() {
        let _ = span.set_parent(context(traceparent));
    }
}

/// Notes that `span` works for the trace that `traceparent` names, too.
pub fn link(span: &Span, traceparent: &str) {
    if are_exported() {
        span.add_link(context(traceparent).span().span_context().clone());
    }
}

/// The W3C `traceparent` that names `span`, if it is exported.
pub fn traceparent(span: &Span) -> Option<String> {
    if !are_exported() {
        return None;
    }
    let context = span.context();
    let span = context.span();
    let named = span.span_context();
    named
        .is_valid()
        .then(|| format!("00-{}-{}-{:02x}", named.trace_id(), named.span_id(), named.trace_flags().to_u8()))
}

fn context(traceparent: &str) -> Context {
    let carrier = HashMap::from([("traceparent".to_owned(), traceparent.to_owned())]);
    TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier)
}
