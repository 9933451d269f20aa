//! In what order features are used.
//!
//! All questions read `sequences`. Filters come first: neighbours, paths and steps are those of what is
//! left of a session after filtering by time, app, category and name. Where a session begins and ends, though, no filter
//! moves. Equal times are ordered by arrival.

mod flow;
mod funnel;
mod paths;

use std::collections::HashMap;

use axum::response::Response;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::answer::{Ask, Basis};
use crate::database::{Database, selected_sql};
use crate::error::Error;
use crate::params::{Params, filtered, limit};
use crate::usage::CohortInterval;
use crate::values::{Feature, Time};

pub use flow::{__path_flow, Flow, FlowBody, FlowColumn, FlowFeature, FlowLink, FlowNode, FlowOther, flow};
pub use funnel::{__path_funnel, Funnel, FunnelBody, FunnelStep, funnel};
pub use paths::{__path_paths, PathCount, Paths, PathsBody, paths};

/// A feature as a body names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FeatureName {
    pub category: String,
    pub name: String,
}

/// The numbers of features in `sequences`. One that nobody used yet has the number 0, which no event has.
struct Numbers(HashMap<(String, String), u16>);

impl Numbers {
    async fn read(database: &Database) -> Result<Self, Error> {
        let rows: Vec<(String, String, u16)> =
            database.small("SELECT category, name, id FROM features").fetch_all().await?;
        Ok(Self(rows.into_iter().map(|(category, name, id)| ((category, name), id)).collect()))
    }

    fn highest(&self) -> u16 {
        self.0.values().copied().max().unwrap_or(0)
    }

    fn of(&self, feature: &FeatureName) -> u16 {
        self.0.get(&(feature.category.clone(), feature.name.clone())).copied().unwrap_or(0)
    }
}

/// A statement in which an item stands once for each of some numbered things, where there are « and » around it:
/// `$this` is its number, `$before` that of the one before.
fn with_items(sql: &str, count: usize) -> String {
    let mut whole = String::new();
    for (nth, part) in sql.split(['«', '»']).enumerate() {
        if nth % 2 == 0 {
            whole += part;
        } else {
            let items: Vec<String> = (1..=count).map(|number| numbered(part, number)).collect();
            whole += &items.join(", ");
        }
    }
    whole
}

fn numbered(text: &str, number: usize) -> String {
    text.replace("$this", &number.to_string()).replace("$before", &(number - 1).to_string())
}

filtered! {
    pub struct TransitionsParams {
        /// How many transitions, 1 to 100000 (1000).
        pub limit: Option<u32>,
    }
}

/// One feature directly followed by another one (or itself) within a session.
#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize, ToSchema)]
pub struct Transition {
    pub from: Feature,
    pub to: Feature,
    pub count: u64,
    /// Distinct sessions.
    pub sessions: u64,
    /// The median time between the two; of an even number, the mean of the middle two.
    pub median_gap_ms: f64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Transitions {
    pub transitions: Vec<Transition>,
}

/// How often one feature directly follows another one, the most frequent first; ties by both names.
#[utoipa::path(get, path = "/v1/order/transitions", tag = "Order", params(TransitionsParams),
    responses((status = 200, body = Transitions)))]
pub async fn transitions(ask: Ask, Params(params): Params<TransitionsParams>) -> Result<Response, Error> {
    let (filter, limit) = (params.filter()?, limit(params.limit, 1000, 100_000)?);
    ask.answer(Basis::Sequences, async |database, _| {
        #[derive(Row, Deserialize)]
        struct Found {
            from: Feature,
            to: Feature,
            count: u64,
            sessions: u64,
            median_gap_ms: f64,
            /// Its number, if the median is longer than the statement could tell; else 0.
            far_pair: u32,
        }
        let query = database.sequences(selected_sql!("ordering/transitions.sql"), &filter);
        let found: Vec<Found> = query.param("limit", limit).fetch_all().await?;
        let far: Vec<u32> = found.iter().map(|found| found.far_pair).filter(|pair| *pair != 0).collect();
        let mut medians = HashMap::new();
        if !far.is_empty() {
            let query = database.sequences(selected_sql!("ordering/transitions_far.sql"), &filter);
            let rows: Vec<(u32, f64)> = query.param("pairs", far).fetch_all().await?;
            medians.extend(rows);
        }
        let transitions = found.into_iter().map(|found| Transition {
            median_gap_ms: medians.get(&found.far_pair).copied().unwrap_or(found.median_gap_ms),
            from: found.from,
            to: found.to,
            count: found.count,
            sessions: found.sessions,
        });
        Ok(Transitions { transitions: transitions.collect() })
    })
    .await
}

filtered! {
    pub struct PrecedenceParams {
        /// How many pairs, 1 to 100000 (1000).
        pub limit: Option<u32>,
    }
}

/// Of the sessions that use both features, in how many the first use of `first` is before that of `then`.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize, ToSchema)]
pub struct Pair {
    pub first: Feature,
    pub then: Feature,
    pub sessions: u64,
    /// Sessions that use both, in whichever order.
    pub both: u64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Precedence {
    pub pairs: Vec<Pair>,
}

/// What comes first. Pairs that no session uses in this order are left out.
#[utoipa::path(get, path = "/v1/order/precedence", tag = "Order", params(PrecedenceParams),
    responses((status = 200, body = Precedence)))]
pub async fn precedence(ask: Ask, Params(params): Params<PrecedenceParams>) -> Result<Response, Error> {
    let (filter, limit) = (params.filter()?, limit(params.limit, 1000, 100_000)?);
    ask.answer(Basis::Sequences, async |database, _| {
        let query = database.sequences(selected_sql!("ordering/precedence.sql"), &filter);
        Ok(Precedence { pairs: query.param("limit", limit).fetch_all().await? })
    })
    .await
}

filtered! {
    pub struct EndsParams {
        /// Which place in the whole session, 1 to 1000: 1 is its first (or, of exits, its last) event of all.
        pub step: Option<u32>,
        /// How many features, 1 to 10000 (1000).
        pub limit: Option<u32>,
    }
}

/// A feature at the start or the end of sessions.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize, ToSchema)]
pub struct End {
    pub category: String,
    pub name: String,
    pub sessions: u64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Entries {
    pub entries: Vec<End>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Exits {
    pub exits: Vec<End>,
}

/// What sessions begin with. A session counts if its first event passes the filters; one that began before `from` is
/// no entry.
#[utoipa::path(get, path = "/v1/order/entries", tag = "Order", params(EndsParams), responses((status = 200, body = Entries)))]
pub async fn entries(ask: Ask, Params(params): Params<EndsParams>) -> Result<Response, Error> {
    ends(ask, params, 1, |entries| Entries { entries }).await
}

/// What sessions end with. A session counts if its last event passes the filters; one that went on after `to` is no exit.
#[utoipa::path(get, path = "/v1/order/exits", tag = "Order", params(EndsParams), responses((status = 200, body = Exits)))]
pub async fn exits(ask: Ask, Params(params): Params<EndsParams>) -> Result<Response, Error> {
    ends(ask, params, -1, |exits| Exits { exits }).await
}

async fn ends<T: Serialize>(
    ask: Ask,
    params: EndsParams,
    direction: i32,
    answer: impl FnOnce(Vec<End>) -> T,
) -> Result<Response, Error> {
    let (filter, limit) = (params.filter()?, limit(params.limit, 1000, 10_000)?);
    let place = match params.step.unwrap_or(1) {
        step @ 1..=1000 => direction * step as i32,
        step => return Err(Error::parameter("step", format!("`step` is {step}, but must be 1 to 1000"))),
    };
    ask.answer(Basis::Sequences, async |database, _| {
        let query = database.sequences(selected_sql!("ordering/ends.sql"), &filter);
        Ok(answer(query.param("place", place).param("limit", limit).fetch_all().await?))
    })
    .await
}

filtered! {
    pub struct RetentionParams {
        #[param(inline)]
        pub interval: CohortInterval,
        /// How many intervals after the first, 1 to 400 (30).
        pub periods: Option<u32>,
    }
}

/// The sessions that began in one interval, of those that use what the filters leave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Cohort {
    pub start: Time,
    pub sessions: u64,
    /// In how many of them something that passes the filters happened n intervals later, n from 0. An interval that is
    /// under way counts so far. Null for one that had not begun at `as_of.time`, or that begins at `to` or later.
    pub returned: Vec<Option<u64>>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Retention {
    pub cohorts: Vec<Cohort>,
}

/// In how many sessions something happens again days or weeks after their first event of all. `from` and `to` are about
/// that first event; `app`, `category` and `name` choose the uses that count, and with them the sessions that have any.
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
        let query = database.sequences(selected_sql!("ordering/retention.sql"), &filter);
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
