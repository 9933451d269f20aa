//! Retention: the sessions in which something happens again days or weeks later.

use axum::response::Response;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer::Ask;
use crate::as_of::Basis;
use crate::error::Error;
use crate::params::{Params, filtered};
use crate::values::Time;

/// Length of a cohort's interval, in UTC; weeks start on Mondays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CohortInterval {
    #[default]
    Day,
    Week,
}

filtered! {
    pub struct RetentionParams {
        #[param(inline)]
        pub interval: CohortInterval,
        /// How many intervals after the first, 1 to 400 (30).
        pub periods: Option<u32>,
    }
}

/// The sessions that began in one interval and have an event that passes the filters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Cohort {
    pub start: Time,
    pub sessions: u64,
    /// The number of sessions with an event that passes the filters n intervals later, for n from 0. An interval that
    /// is under way counts up to now. Null for an interval that had not begun at `as_of.time`, or that begins at `to`
    /// or later.
    pub returned: Vec<Option<u64>>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Retention {
    pub cohorts: Vec<Cohort>,
}

/// How many sessions have events again days or weeks after their first event. `from` and `to` limit the time of that
/// first event. `app`, `category` and `name` choose the events that count; a session without such an event is left out.
#[utoipa::path(get, path = "/v1/retention", tag = "Order", params(RetentionParams), responses((status = 200, body = Retention)))]
pub async fn retention(ask: Ask, Params(params): Params<RetentionParams>) -> Result<Response, Error> {
    #[derive(Row, Deserialize)]
    struct Returned {
        start: i64,
        later: u32,
        sessions: u64,
        first_uses: u64,
    }
    let filter = params.filter()?;
    let periods = match params.periods.unwrap_or(30) {
        periods @ 1..=400 => periods,
        periods => {
            return Err(Error::parameter("periods", format!("`periods` is {periods}, but must be 1 to 400")));
        }
    };
    let days: i64 = match params.interval {
        CohortInterval::Day => 1,
        CohortInterval::Week => 7,
    };
    ask.answer(Basis::Sequences, async |database, as_of| {
        let query = database.filtered("ordering/retention.sql", &filter, [])?;
        let rows: Vec<Returned> = query.param("days", days).param("periods", periods).fetch_all().await?;
        let (_, to) = filter.range();
        let nothing =
            |start: Time| Some(0).filter(|_| start < to && as_of.time.is_some_and(|now| start <= now));
        let mut cohorts: Vec<Cohort> = Vec::new();
        for row in rows {
            let start = Time::from_micros(row.start);
            if cohorts.last().is_none_or(|cohort| cohort.start != start) {
                let later = |n: u32| Time::from_day(start.day() + days * i64::from(n));
                let returned = (0..=periods).map(|n| nothing(later(n))).collect();
                cohorts.push(Cohort { start, sessions: 0, returned });
            }
            let Some(cohort) = cohorts.last_mut() else { continue };
            cohort.sessions += row.first_uses;
            if let Some(returned) = cohort.returned.get_mut(row.later as usize) {
                *returned = Some(row.sessions);
            }
        }
        Ok(Retention { cohorts })
    })
    .await
}
