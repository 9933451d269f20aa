//! Spans as a collector gets them: OTLP over HTTP, decoded by OpenTelemetry's own definitions.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header;
use axum::routing::post;
use harness::{Pipeline, eventually};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;
use serde_json::json;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// Service and span.
type Spans = Arc<Mutex<Vec<(String, Span)>>>;

async fn collector() -> (String, Spans) {
    async fn take(
        State(spans): State<Spans>,
        body: Bytes,
    ) -> ([(header::HeaderName, &'static str); 1], Vec<u8>) {
        for exported in ExportTraceServiceRequest::decode(body).unwrap().resource_spans {
            let attributes = exported.resource.unwrap().attributes;
            let service = attributes.iter().find(|attribute| attribute.key == "service.name").unwrap();
            let Some(Value::StringValue(service)) = service.value.clone().unwrap().value else { panic!() };
            let found = exported.scope_spans.into_iter().flat_map(|scope| scope.spans);
            spans.lock().unwrap().extend(found.map(|span| (service.clone(), span)));
        }
        let answer = ExportTraceServiceResponse::default().encode_to_vec();
        ([(header::CONTENT_TYPE, "application/x-protobuf")], answer)
    }
    let spans = Spans::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = Router::new().route("/v1/traces", post(take)).with_state(Arc::clone(&spans));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, spans)
}

fn attribute(span: &Span, key: &str) -> String {
    let found = span.attributes.iter().find(|attribute| attribute.key == key);
    match found.and_then(|attribute| attribute.value.as_ref()?.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{key} is {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_goes_through_the_gateway_and_is_linked_with_the_insert() {
    let (url, spans) = collector().await;
    let pipeline = Pipeline::start_with(
        None,
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", &url), ("OTEL_BSP_SCHEDULE_DELAY", "100")],
    )
    .await;
    let event = |event_id: &str| {
        json!({
            "event_id": event_id, "session_id": "4c2a0b5e-2d6f-4d55-9f0e-5b1f3a7c9e01", "timestamp": "2021-01-01T09:15:27Z",
            "category": "page interaction", "name": "pageview", "data": {"host": "canary", "path": "/"},
        })
    };
    let (traced, untraced) = ("aa000000-0000-4000-8000-000000000021", "aa000000-0000-4000-8000-000000000022");
    let unsampled = "aa000000-0000-4000-8000-000000000023";
    for (id, traceparent) in [
        (traced, Some(format!("00-{TRACE}-{PARENT}-01"))),
        (untraced, None),
        (unsampled, Some(format!("00-{}-{PARENT}-00", "1".repeat(32)))),
    ] {
        let mut request = pipeline.request("application/json").body(event(id).to_string());
        if let Some(traceparent) = traceparent {
            request = request.header("traceparent", traceparent);
        }
        assert_eq!(request.send().await.unwrap().status(), 202);
    }
    pipeline.settled().await;
    // A request without a trace gets one of the gateway.
    let own =
        pipeline.get(&format!("/v1/events/{untraced}")).await["traceparent"].as_str().unwrap().to_owned();
    let own: Vec<&str> = own.split('-').collect();
    let (status, _) = pipeline.ask("/v1/features?no=such").await;
    assert_eq!(status, 400);

    let found = async |what: &str, is: &dyn Fn(&str, &Span) -> bool| {
        let look = async || spans.lock().unwrap().iter().find(|(service, span)| is(service, span)).cloned();
        println!("{what}");
        eventually(Duration::from_secs(60), look).await.1
    };
    let request = found("the request that was traced", &|service, span| {
        service == "ingest" && span.name == "POST /events" && hex::encode(&span.trace_id) == TRACE
    })
    .await;
    assert_eq!(hex::encode(&request.parent_span_id), PARENT);
    assert_eq!(request.kind, SpanKind::Server as i32);
    assert_eq!(attribute(&request, "http.response.status_code"), "202");
    found("the request that was not", &|service, span| {
        service == "ingest" && [hex::encode(&span.trace_id), hex::encode(&span.span_id)] == own[1..3]
    })
    .await;
    for trace in [TRACE, own[1]] {
        let insert = found("the insert", &|service, span| {
            let linked = span.links.iter().any(|link| hex::encode(&link.trace_id) == trace);
            service == "projector" && span.name == "insert" && linked
        })
        .await;
        for chunk in attribute(&insert, "chunks").split(' ') {
            let (_, offsets) = chunk.split_once(':').unwrap();
            let (start, end) = offsets.split_once('-').unwrap();
            assert!(start.parse::<u64>().unwrap() < end.parse().unwrap(), "{chunk}");
        }
    }
    let question = found("a question", &|service, span| {
        service == "query-api"
            && span.name == "GET /v1/features"
            && attribute(span, "http.response.status_code") == "400"
    })
    .await;
    assert_eq!(attribute(&question, "url.path"), "/v1/features");

    let spans = spans.lock().unwrap();
    for (_, span) in spans.iter() {
        let said = format!("{span:?}");
        assert!(!said.contains("canary") && !said.contains(harness::pipeline::KEY), "{said}");
        assert!(!span.name.contains("healthz") && !span.name.contains("readyz"), "{said}");
        assert_ne!(hex::encode(&span.trace_id), "1".repeat(32), "its sender asked for no spans");
    }
}
