//! The parameters of questions. Unknown parameters are refused, not ignored.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use crate::error::Error;
use crate::values::{Id, Time};

/// The query string as `T`. `T` denies unknown fields, so that the answer to a misspelt parameter names the known ones.
#[derive(Debug)]
pub struct Params<T>(pub T);

impl<S: Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Error> {
        let query = parts.uri.query().unwrap_or_default();
        let pairs = form_urlencoded::parse(query.as_bytes());
        serde_path_to_error::deserialize(serde_urlencoded::Deserializer::new(pairs)).map(Self).map_err(
            |error| {
                let field = error.path().to_string();
                let detail = error.into_inner().to_string().replace("unknown field", "unknown parameter");
                // The deserializer knows the value only, so the name of the parameter is added here.
                let detail = if detail.contains(&format!("`{field}`")) {
                    detail
                } else {
                    format!("`{field}`: {detail}")
                };
                Error::parameter(field, detail)
            },
        )
    }
}

/// For a question without parameters in its URL.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
pub struct NoParams {}

/// A JSON body as `T`, which denies unknown fields. Its bytes tell the question from others.
#[derive(Debug)]
pub struct Body<T> {
    pub value: T,
    pub bytes: Bytes,
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Error;

    async fn from_request(request: Request, state: &S) -> Result<Self, Error> {
        let bytes = Bytes::from_request(request, state).await.map_err(Error::unreadable_body)?;
        let mut json = serde_json::Deserializer::from_slice(&bytes);
        let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let field = error.path().to_string();
            Error::parameter(field.clone(), format!("the JSON body, at `{field}`: {}", error.into_inner()))
        })?;
        json.end().map_err(|error| {
            Error::parameter("body", format!("there is more in the body after its JSON: {error}"))
        })?;
        Ok(Self { value, bytes })
    }
}

/// The UUID in the path.
#[derive(Debug)]
pub struct PathId(pub Id);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Error> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|error| Error::parameter("id", error.to_string()))?;
        let id = uuid::Uuid::try_parse(&text).map_err(|_| {
            Error::parameter(
                "id",
                format!("{text:?} is not a UUID such as e2085be5-9137-4e4e-80b5-f1ffddc25423"),
            )
        })?;
        Ok(Self(Id(id)))
    }
}

/// The events that a question is about. An event counts if it passes all filters. Questions of order look at the events
/// that the filters leave of each session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    from: Time,
    to: Time,
    app: String,
    category: String,
    name: String,
}

impl Filter {
    /// # Errors
    /// A range that ends before it starts, an empty or too long name.
    pub fn new(
        from: Option<Time>,
        to: Option<Time>,
        app: Option<&str>,
        category: Option<&str>,
        name: Option<&str>,
    ) -> Result<Self, Error> {
        let (from, to) = (from.unwrap_or(Time::MIN), to.unwrap_or(Time::MAX));
        if from > to {
            return Err(Error::parameter("to", format!("`to` ({to}) must not be before `from` ({from})")));
        }
        Ok(Self {
            from,
            to,
            app: text("app", app)?,
            category: text("category", category)?,
            name: text("name", name)?,
        })
    }

    /// The first moment of the range, and the first moment after it.
    pub fn range(&self) -> (Time, Time) {
        (self.from, self.to)
    }

    /// Whether it leaves out times.
    pub fn is_ranged(&self) -> bool {
        self.range() != (Time::MIN, Time::MAX)
    }

    /// Whether it leaves out applications or features.
    pub fn picks(&self) -> bool {
        !(self.app.is_empty() && self.category.is_empty() && self.name.is_empty())
    }

    /// The same filters in another range.
    pub fn within(&self, from: Time, to: Time) -> Self {
        Self { from, to, ..self.clone() }
    }

    /// The number that `usage_days` has for the kind of event: 0 for any, 1 for a category, 2 for a feature.
    pub fn kind(&self) -> u8 {
        match (self.category.is_empty(), self.name.is_empty()) {
            (true, true) => 0,
            (false, true) => 1,
            (_, false) => 2,
        }
    }

    /// Whether it asks for a name in any category.
    pub fn any_category(&self) -> bool {
        self.category.is_empty() && !self.name.is_empty()
    }

    /// Binds `from`, `to`, `app`, `category`, `name`; an empty text filters nothing.
    pub fn bind(&self, query: clickhouse::query::Query) -> clickhouse::query::Query {
        query
            .param("from", self.from.to_param())
            .param("to", self.to.to_param())
            .param("app", &self.app)
            .param("category", &self.category)
            .param("name", &self.name)
    }
}

/// A text of 1 to 255 characters; the empty text if there is none.
fn text(field: &str, value: Option<&str>) -> Result<String, Error> {
    match value {
        None => Ok(String::new()),
        Some(text) if (1..=255).contains(&text.chars().count()) => Ok(text.to_owned()),
        Some(_) => Err(Error::parameter(
            field,
            format!("`{field}` has 1 to 255 characters; leave it out to filter nothing"),
        )),
    }
}

/// How many rows to answer.
///
/// # Errors
/// Zero, or more than `max`.
pub fn limit(value: Option<u32>, default: u32, max: u32) -> Result<u32, Error> {
    match value.unwrap_or(default) {
        limit if (1..=max).contains(&limit) => Ok(limit),
        limit => Err(Error::parameter("limit", format!("`limit` is {limit}, but must be 1 to {max}"))),
    }
}

/// A parameter struct with the five common filters before its own fields.
macro_rules! filtered {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$field_meta:meta])* pub $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Default, serde::Deserialize, utoipa::IntoParams)]
        #[serde(deny_unknown_fields, default)]
        #[into_params(parameter_in = Query)]
        pub struct $name {
            /// Only events at this time or later. RFC 3339; a time without a zone is in UTC.
            pub from: Option<crate::values::Time>,
            /// Only events before this time.
            pub to: Option<crate::values::Time>,
            /// Only events that this application sent.
            pub app: Option<String>,
            /// Only events of this category.
            pub category: Option<String>,
            /// Only events of this name.
            pub name: Option<String>,
            $($(#[$field_meta])* pub $field: $type,)*
        }

        impl $name {
            fn filter(&self) -> Result<crate::params::Filter, crate::error::Error> {
                crate::params::Filter::new(
                    self.from,
                    self.to,
                    self.app.as_deref(),
                    self.category.as_deref(),
                    self.name.as_deref(),
                )
            }
        }
    };
}
pub(crate) use filtered;
