//! Funnels: steps in order, any gap between them, within a session and a window.

use axum::response::Response;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{FeatureName, Numbers};
use crate::answer::Ask;
use crate::as_of::Basis;
use crate::error::Error;
use crate::params::{Body, Filter, NoParams, Params};
use crate::sql::Form::{self, Count, Each, Is};
use crate::values::{Time, word};

const MAX_STEPS: usize = 20;
/// Longer than any session, and far enough from the ends of `Int64` for sums with times.
const NO_WINDOW: i64 = 1 << 61;

/// The occurrences of step 1 that a funnel may start from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Start {
    /// A session reaches a step if some occurrence of step 1 reaches it.
    #[default]
    Any,
    /// Only the session's first occurrence of step 1 counts.
    First,
}

#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FunnelBody {
    /// 1 to 20 steps. One feature may be several steps. One event is never two steps.
    pub steps: Vec<FeatureName>,
    /// The longest time from step 1, inclusive: `90s`, `30m`, `1h30m`, `7d`, `500ms`. Without it, any time.
    pub window: Option<String>,
    #[serde(default)]
    pub start: Start,
    /// Features that end an attempt when they occur after its step 1.
    #[serde(default)]
    pub exclude: Vec<FeatureName>,
    /// Whether to measure the quickest attempts as well, which costs two to three times as much.
    #[serde(default)]
    pub shortest: bool,
    pub from: Option<Time>,
    pub to: Option<Time>,
    pub app: Option<String>,
    pub category: Option<String>,
    pub name: Option<String>,
}

/// How far sessions got.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FunnelStep {
    pub category: String,
    pub name: String,
    /// Sessions that reach this step.
    pub sessions: u64,
    /// Median time of these sessions from step 1: from its first occurrence that reaches this step, each step as early
    /// as possible. Null without sessions.
    pub median_time_ms: Option<f64>,
    /// The same from the occurrence of step 1 that is the quickest. Null unless `shortest` is set.
    pub median_shortest_ms: Option<f64>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Funnel {
    pub steps: Vec<FunnelStep>,
}

/// How many sessions go through the steps in this order.
#[utoipa::path(post, path = "/v1/order/funnel", tag = "Order", request_body = FunnelBody, responses((status = 200, body = Funnel)))]
pub async fn funnel(
    ask: Ask,
    Params(_): Params<NoParams>,
    Body { value: body, bytes }: Body<FunnelBody>,
) -> Result<Response, Error> {
    let filter =
        Filter::new(body.from, body.to, body.app.as_deref(), body.category.as_deref(), body.name.as_deref())?;
    let window = body.checked_window()?;
    ask.about(&bytes)
        .answer(Basis::Sequences, async |database, _| {
            let numbers = Numbers::read(database).await?;
            let all = |features: &[FeatureName]| -> Result<Vec<u16>, Error> {
                features.iter().map(|feature| numbers.of(feature)).collect()
            };
            let steps = all(&body.steps)?;
            let mut exclude = all(&body.exclude)?;
            exclude.retain(|number| *number != 0);
            let form = body.form(&steps, !exclude.is_empty());
            let reached: Reached = database
                .filtered("ordering/funnel.sql", &filter, form)?
                .param("steps", &steps)
                .param("exclude", exclude)
                .param("window", window)
                .param("start", word(body.start))
                .fetch_one()
                .await?;
            Ok(reached.funnel(body.steps))
        })
        .await
}

/// The row of funnel.sql: an item for each step.
#[derive(Row, Deserialize)]
struct Reached {
    sessions: Vec<u64>,
    median_time_ms: Vec<f64>,
    /// Empty unless asked for.
    median_shortest_ms: Vec<f64>,
}

impl FunnelBody {
    /// Checks the steps and the exclusions, and returns the window in microseconds.
    fn checked_window(&self) -> Result<i64, Error> {
        if !(1..=MAX_STEPS).contains(&self.steps.len()) {
            let detail = format!("a funnel has 1 to {MAX_STEPS} steps, not {}", self.steps.len());
            return Err(Error::parameter("steps", detail));
        }
        if self.exclude.len() > MAX_STEPS {
            return Err(Error::parameter("exclude", format!("at most {MAX_STEPS} features can be excluded")));
        }
        if let Some(both) = self.exclude.iter().find(|excluded| self.steps.contains(excluded)) {
            let detail = format!(
                "{:?} / {:?} is a step and excluded: it can only be one of them",
                both.category, both.name
            );
            return Err(Error::parameter("exclude", detail));
        }
        let Some(text) = &self.window else { return Ok(NO_WINDOW) };
        micros(text).ok_or_else(|| {
            let detail = format!("{text:?} is not a duration such as 90s, 30m, 1h30m, 7d or 500ms");
            Error::parameter("window", detail)
        })
    }

    /// What the statement's text depends on. `steps` are the numbers of the steps.
    fn form(&self, steps: &[u16], excludes: bool) -> [(&'static str, Form); 5] {
        // Without a window and exclusions, no other start reaches more than the first one.
        let walking = self.shortest || excludes || (self.window.is_some() && self.start == Start::Any);
        let choosing = excludes || (self.shortest && self.start == Start::First);
        let repeats = (0..steps.len()).map(|nth| nth > 0 && steps[nth] == steps[nth - 1]);
        [
            ("length", Count(steps.len())),
            // The item n - 1: whether step n is the same feature as the step before.
            ("repeats", Each(repeats.collect())),
            // Whether other starts than a session's first one can matter.
            ("walking", Is(walking)),
            // Whether the walk must choose among the occurrences of step 1.
            ("choosing", Is(choosing)),
            ("shortest", Is(self.shortest)),
        ]
    }
}

impl Reached {
    fn funnel(&self, steps: Vec<FeatureName>) -> Funnel {
        let steps = steps.into_iter().enumerate().map(|(place, FeatureName { category, name })| {
            let sessions = self.sessions.get(place).copied().unwrap_or(0);
            let median = |medians: &[f64]| medians.get(place).copied().filter(|_| sessions > 0);
            FunnelStep {
                category,
                name,
                sessions,
                median_time_ms: median(&self.median_time_ms),
                median_shortest_ms: median(&self.median_shortest_ms),
            }
        });
        Funnel { steps: steps.collect() }
    }
}

/// `1h30m` and the like in microseconds; at most 100 years.
fn micros(text: &str) -> Option<i64> {
    let mut rest = text.trim();
    let mut total: i64 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: i64 = rest.get(..digits)?.parse().ok()?;
        rest = rest.get(digits..)?;
        let unit_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match rest.get(..unit_end)?.trim() {
            "us" => 1,
            "ms" => 1000,
            "s" => 1_000_000,
            "m" => 60 * 1_000_000,
            "h" => 3600 * 1_000_000,
            "d" => 86_400 * 1_000_000,
            "w" => 7 * 86_400 * 1_000_000,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(unit)?)?;
        rest = rest.get(unit_end..)?;
    }
    Some(total).filter(|total| *total <= 100 * 366 * 86_400 * 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::micros;

    #[test]
    fn windows_are_durations() {
        assert_eq!(micros("30m"), Some(1_800_000_000));
        assert_eq!(micros("1h30m"), Some(5_400_000_000));
        assert_eq!(micros("500ms"), Some(500_000));
        assert_eq!(micros("0s"), Some(0));
        for text in ["", "30", "m", "30 minutes", "-1s", "1e3s", "99999999999999999999s", "200000000h", "½h"]
        {
            assert_eq!(micros(text), None, "{text}");
        }
    }
}
