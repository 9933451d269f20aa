//! The description of the API (OpenAPI 3.1) and a page to read it.

use axum::response::Html;
use serde::Serialize;
use utoipa::openapi::schema::{ArrayBuilder, OneOfBuilder};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{Modify, OpenApi, PartialSchema, ToSchema};
use uuid::Uuid;

use crate::receipts::Fault;

/// One event, or several. (By hand: the derive knows no `minItems` here.)
pub(crate) enum Events {}

impl PartialSchema for Events {
    fn schema() -> RefOr<Schema> {
        let event = || Ref::from_schema_name(Event::name());
        let several = ArrayBuilder::new().items(event()).min_items(Some(1));
        OneOfBuilder::new().item(event()).item(several).description(Some("One event, or several.")).into()
    }
}

impl ToSchema for Events {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((Event::name().into(), Event::schema()));
        Event::schemas(schemas);
    }
}

/// Something that somebody did. The gateway needs `session_id`; the projector judges the rest.
#[derive(Serialize, ToSchema)]
#[schema(as = Event)]
pub(crate) struct Event {
    /// The session, made by the application.
    session_id: Uuid,
    #[schema(min_length = 1, max_length = 255)]
    category: String,
    #[schema(min_length = 1, max_length = 255)]
    name: String,
    /// As the schema of the event type (category and name) says.
    #[schema(value_type = Object)]
    data: serde_json::Value,
    /// `2021-01-01 09:15:27.243860` (UTC) or RFC 3339.
    timestamp: String,
    /// The idempotency key: send the same one with every try.
    event_id: Option<Uuid>,
    /// The sender's clock when it sent.
    sent_at: Option<String>,
}

/// The answer to each event, in input order.
#[derive(Serialize, ToSchema)]
#[schema(as = Receipts)]
pub(crate) struct Receipts {
    receipts: Vec<Receipt>,
}

/// An event's place in the log, or what is wrong with it.
#[derive(Serialize, ToSchema)]
#[schema(as = Receipt)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its schema is used: receipts are written by hand")]
pub(crate) enum Receipt {
    Appended { event_id: Uuid, partition: i32, offset: i64 },
    Error { error: Fault },
}

/// RFC 9457.
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    status: u16,
    /// For programs: stable, snake_case.
    code: String,
    title: String,
    /// For people: what to do.
    detail: String,
    field: Option<String>,
}

#[derive(OpenApi)]
#[openapi(
    info(title = "The Eye: gateway", description = "Takes events and appends them to the log."),
    modifiers(&Keys)
)]
pub(crate) struct Api;

struct Keys;

impl Modify for Keys {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        let bearer = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.add_security_scheme("application key", bearer);
    }
}

pub(crate) fn page(openapi: &utoipa::openapi::OpenApi) -> Html<String> {
    Html(infra::http::api_page("The Eye: gateway", &serde_json::to_string(openapi).unwrap_or_default()))
}
