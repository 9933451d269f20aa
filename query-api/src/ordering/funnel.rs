//! Funnels: steps in order, any gap between them, within a session and a window.

use axum::response::Response;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{FeatureName, Numbers, question};
use crate::answer::{Ask, Basis};
use crate::database::selected_sql;
use crate::error::Error;
use crate::params::{Body, Filter};
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
    /// Also how long the quickest attempts took, which costs about twice as much.
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
pub async fn funnel(ask: Ask, Body { value: body, bytes }: Body<FunnelBody>) -> Result<Response, Error> {
    #[derive(Row, Deserialize)]
    struct Reached {
        step: u32,
        sessions: u64,
        median_time_ms: f64,
        median_shortest_ms: f64,
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
            // Whatever the first start reaches, it reaches in time and unbroken.
            let only_the_first =
                !body.shortest && exclude.is_empty() && (body.window.is_none() || body.start == Start::First);
            let reached: Vec<Reached> = question(database, &filter, &sql(steps.len(), !only_the_first))
                .param("steps", &steps)
                .param("exclude", exclude)
                .param("window", window)
                .param("start", word(body.start))
                .param("shortest", body.shortest)
                .fetch_all()
                .await?;
            let steps = body.steps.iter().zip(1..).map(|(step, place)| {
                let reached = reached.iter().find(|reached| reached.step == place);
                FunnelStep {
                    category: step.category.clone(),
                    name: step.name.clone(),
                    sessions: reached.map_or(0, |reached| reached.sessions),
                    median_time_ms: reached.map(|reached| reached.median_time_ms),
                    median_shortest_ms: reached
                        .filter(|_| body.shortest)
                        .map(|reached| reached.median_shortest_ms),
                }
            });
            Ok(Funnel { steps: steps.collect() })
        })
        .await
}

/// The statement for a number of steps: its text is the same for every funnel of that length. Without `walk` no other
/// start than the first one of a session is looked at.
fn sql(steps: usize, walk: bool) -> String {
    let step = |text: &str, step: usize| {
        text.replace("$this", &step.to_string()).replace("$before", &(step - 1).to_string())
    };
    let once_a_step = |part: &str| (2..=steps).map(|this| step(part, this)).collect::<String>();
    let listed = |part: &str, names: &[&str]| {
        names.iter().fold(part.to_owned(), |part, name| {
            let items: Vec<String> = (1..=steps).map(|this| format!("{name}_{this}")).collect();
            part.replace(&format!("[${name}"), &format!("[{}", items.join(", ")))
        })
    };
    let parts: Vec<&str> = selected_sql!("ordering/funnel.sql").split("-- ###\n").collect();
    let [head, chain, sure, starts, walked, reached, end] = parts[..] else { return String::new() };
    let sure = step(&listed(sure, &["found", "time"]), steps);
    let reached = step(&listed(reached, &["walk", "quickest"]), steps);
    let all_starts = [starts, &once_a_step(walked), &reached].concat();
    let only_the_first = ", reached AS (SELECT sure_times AS times, times AS quickest FROM chained)\n";
    [head, &once_a_step(chain), &sure, if walk { &all_starts } else { only_the_first }, end].concat()
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
    use super::{MAX_STEPS, micros, sql};

    #[test]
    fn a_statement_has_all_its_parts() {
        for steps in 1..=MAX_STEPS {
            for walk in [false, true] {
                let sql = sql(steps, walk);
                assert!(sql.contains("FROM reached") && !sql.contains('$'), "{sql}");
                assert_eq!(sql.matches(" AS starts_").count(), if walk { steps } else { 0 }, "{sql}");
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
