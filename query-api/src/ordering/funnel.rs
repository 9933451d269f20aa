//! Funnels: steps in order, any gap between them, within a session and a window.

use axum::response::Response;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{FeatureName, Numbers, numbered, with_items};
use crate::answer::Ask;
use crate::as_of::Basis;
use crate::database::{conditional, selected_sql};
use crate::error::Error;
use crate::params::{Body, Filter, NoParams, Params};
use crate::values::{Time, word};

const MAX_STEPS: usize = 20;
/// Longer than any session: no window. Far enough from the ends of `Int64` for sums with times.
const NO_WINDOW: i64 = 1 << 61;

/// From which occurrences of step 1 a funnel may start.
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
    /// 1 to 20 steps. One feature may be several steps; one event never is.
    pub steps: Vec<FeatureName>,
    /// The longest time from step 1, inclusive: `90s`, `30m`, `1h30m`, `7d`, `500ms`. None: any time.
    pub window: Option<String>,
    #[serde(default)]
    pub start: Start,
    /// Features that end an attempt when they occur after its step 1.
    #[serde(default)]
    pub exclude: Vec<FeatureName>,
    /// Also how long the quickest attempts took, which costs two to three times as much.
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
    /// Median time from step 1 of these sessions, from the first occurrence of step 1 that reaches this
    /// step, each step as early as possible; null if there are none.
    pub median_time_ms: Option<f64>,
    /// The same from that occurrence of step 1 that is the quickest; null unless `shortest` was asked for.
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
    /// An item for each step.
    #[derive(Row, Deserialize)]
    struct Reached {
        sessions: Vec<u64>,
        median_time_ms: Vec<f64>,
        /// Empty unless asked for.
        median_shortest_ms: Vec<f64>,
    }
    let filter =
        Filter::new(body.from, body.to, body.app.as_deref(), body.category.as_deref(), body.name.as_deref())?;
    if !(1..=MAX_STEPS).contains(&body.steps.len()) {
        return Err(Error::parameter(
            "steps",
            format!("a funnel has 1 to {MAX_STEPS} steps, not {}", body.steps.len()),
        ));
    }
    if body.exclude.len() > MAX_STEPS {
        return Err(Error::parameter("exclude", format!("at most {MAX_STEPS} features can be excluded")));
    }
    if let Some(both) = body.exclude.iter().find(|excluded| body.steps.contains(excluded)) {
        let detail = format!(
            "{:?} / {:?} is a step and excluded: it can only be one of them",
            both.category, both.name
        );
        return Err(Error::parameter("exclude", detail));
    }
    let window = body.window.as_deref().map_or(Ok(NO_WINDOW), |text| {
        micros(text).ok_or_else(|| {
            Error::parameter(
                "window",
                format!("{text:?} is not a duration such as 90s, 30m, 1h30m, 7d or 500ms"),
            )
        })
    })?;
    ask.about(&bytes)
        .answer(Basis::Sequences, async |database, _| {
            let numbers = Numbers::read(database).await?;
            let steps: Vec<u16> = body.steps.iter().map(|step| numbers.of(step)).collect();
            let exclude: Vec<u16> = body
                .exclude
                .iter()
                .map(|excluded| numbers.of(excluded))
                .filter(|number| *number != 0)
                .collect();
            let form = Form {
                steps: steps.len(),
                // Whatever the first start reaches, it reaches in time and unbroken; or no other start counts.
                walking: body.shortest
                    || !exclude.is_empty()
                    || (body.window.is_some() && body.start == Start::Any),
                choosing: !exclude.is_empty() || (body.shortest && body.start == Start::First),
                shortest: body.shortest,
            };
            let shifted = |step: usize| step == 2 || steps[step - 1] == steps[step - 2];
            let reached: Reached = database
                .sequences(&form.sql(shifted), &filter)
                .param("steps", &steps)
                .param("exclude", exclude)
                .param("window", window)
                .param("start", word(body.start))
                .fetch_one()
                .await?;
            let steps = body.steps.iter().enumerate().map(|(place, step)| {
                let sessions = reached.sessions.get(place).copied().unwrap_or(0);
                let median = |medians: &[f64]| medians.get(place).copied().filter(|_| sessions > 0);
                FunnelStep {
                    category: step.category.clone(),
                    name: step.name.clone(),
                    sessions,
                    median_time_ms: median(&reached.median_time_ms),
                    median_shortest_ms: median(&reached.median_shortest_ms),
                }
            });
            Ok(Funnel { steps: steps.collect() })
        })
        .await
}

/// What a funnel asks for, as far as the statement's text depends on it. In funnel.sql `$this` is the number of a
/// step, `$before` that of the one before, `$last` that of the last; what stands between « and » is there for each step.
#[derive(Debug, Clone, Copy)]
struct Form {
    steps: usize,
    /// Whether other starts than a session's first one can matter.
    walking: bool,
    /// Whether the walk must choose among the occurrences of step 1: for exclusions, or as only the first one counts.
    choosing: bool,
    shortest: bool,
}

impl Form {
    /// `shifted` says of a step from 2 on whether what holds for the step before must be made earlier by an event.
    fn sql(self, shifted: impl Fn(usize) -> bool) -> String {
        let holds = |condition: &str| match condition {
            "walking" => Some(self.walking),
            "choosing" => Some(self.choosing),
            "shortest" => Some(self.shortest),
            _ => None,
        };
        let template = conditional(selected_sql!("ordering/funnel.sql"), holds);
        let mut sql = String::new();
        for (nth, section) in template.split("-- ### ").enumerate() {
            let (title, body) =
                if nth == 0 { ("once", section) } else { section.split_once('\n').unwrap_or_default() };
            let (times, condition) = title.split_once(" IF ").unwrap_or((title, ""));
            match times {
                _ if holds(condition) == Some(false) => {}
                "once" => sql += &with_items(&body.replace("$last", &self.steps.to_string()), self.steps),
                _ => (2..=self.steps).for_each(|step| {
                    let body = conditional(body, |name| (name == "shifted").then(|| shifted(step)));
                    sql += &numbered(&body, step);
                }),
            }
        }
        sql
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
    use super::{Form, MAX_STEPS, micros};

    #[test]
    fn a_statement_has_all_its_parts() {
        for steps in 1..=MAX_STEPS {
            for choice in 0..8 {
                let [walking, choosing, shortest] = [1, 2, 4].map(|bit| choice & bit != 0);
                let sql = Form { steps, walking, choosing, shortest }.sql(|step| step == 2);
                assert!(sql.contains("FROM reached") && !sql.contains(['$', '«', '»']), "{sql}");
                // The analyzer is slow with these: see funnel.sql.
                let own = sql
                    .split(", {steps:")
                    .nth(1)
                    .unwrap()
                    .lines()
                    .filter(|line| !line.trim().starts_with("--"));
                assert_eq!(
                    own.filter(|line| line.contains(" AND ") || line.contains(" OR ")).count(),
                    0,
                    "{sql}"
                );
                assert_eq!(sql.matches(" AS latest_").count(), if walking { steps } else { 0 }, "{sql}");
                assert_eq!(sql.matches(" AS first_").count(), if walking { steps - 1 } else { 0 }, "{sql}");
                assert_eq!(sql.matches(" AS broken").count(), usize::from(walking && choosing), "{sql}");
            }
        }
    }

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
