//! Which features are used most, rarely, never; and when.

mod days;

use std::collections::HashMap;

use axum::response::Response;
use clickhouse::Row;
use infra::database::{SMALL, within};
use serde::{Deserialize, Serialize};
use time::{Date, Duration, OffsetDateTime, Time as Clock};
use utoipa::ToSchema;

use crate::answer::{Ask, Basis};
use crate::database::{Database, selected_sql};
use crate::error::Error;
use crate::params::{Filter, Params, filtered, limit};
use crate::values::{Feature, Time, word};

pub(crate) use days::Days;

/// What `usage_days` calls the kind of event that is a use of a feature.
const FEATURE: u8 = 2;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    #[default]
    Most,
    Least,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum By {
    #[default]
    Events,
    Sessions,
}

filtered! {
    pub struct FeaturesParams {
        /// Most or least used first; ties by category, then name.
        #[param(inline)]
        pub order: Order,
        /// What use is counted by.
        #[param(inline)]
        pub by: By,
        /// How many features, 1 to 10000 (1000).
        pub limit: Option<u32>,
    }
}

/// How a feature was used.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize, ToSchema)]
pub struct FeatureUse {
    pub category: String,
    pub name: String,
    pub events: u64,
    /// Distinct sessions.
    pub sessions: u64,
    pub first_seen: Time,
    pub last_seen: Time,
}

/// How much all features together were used, however many are listed.
#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Total {
    pub events: u64,
    /// Distinct sessions: one that used several features counts once.
    pub sessions: u64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Features {
    pub features: Vec<FeatureUse>,
    pub total: Total,
}

/// The used features, most or least used first.
#[utoipa::path(get, path = "/v1/features", tag = "Usage", params(FeaturesParams), responses((status = 200, body = Features)))]
pub async fn features(mut ask: Ask, Params(params): Params<FeaturesParams>) -> Result<Response, Error> {
    let (filter, limit) = (params.filter()?, limit(params.limit, 1000, 10_000)?);
    let days = if filter.any_category() { None } else { Days::of(&mut ask, &filter).await? };
    let source = Source::of(&ask, days, &filter).await?;
    ask.answer(source.basis(), async |database, _| {
        let (features, all) = tokio::try_join!(
            read(database, &source, &filter, params.order, params.by, limit),
            series(database, &source, &filter, ALL_TIME),
        )?;
        let total = all.first().map(|all| Total { events: all.events, sessions: all.sessions });
        Ok(Features { features, total: total.unwrap_or_default() })
    })
    .await
}

/// Where use is read: the same answer at different prices.
pub(crate) enum Source {
    Days(Days),
    /// One by one, as the range is narrow.
    Events,
    Sequences,
}

impl Source {
    /// `days` if there are any.
    pub(crate) async fn of(ask: &Ask, days: Option<Days>, filter: &Filter) -> Result<Self, Error> {
        if let Some(days) = days {
            return Ok(Self::Days(days));
        }
        if !filter.is_ranged() {
            return Ok(Self::Sequences);
        }
        let (from, to) = filter.range();
        let narrow = ask.database.small(include_str!("usage/is_narrow.sql"));
        let narrow = narrow.param("first_day", from.day()).param("last_day", to.day());
        Ok(if within(SMALL, narrow.fetch_one()).await? { Self::Events } else { Self::Sequences })
    }

    pub(crate) fn basis(&self) -> Basis {
        match self {
            Self::Days(days) => days.basis(),
            Self::Events => Basis::Log,
            Self::Sequences => Basis::Sequences,
        }
    }
}

pub(crate) async fn read(
    database: &Database,
    source: &Source,
    filter: &Filter,
    order: Order,
    by: By,
    limit: u32,
) -> Result<Vec<FeatureUse>, Error> {
    let query = match source {
        Source::Days(days) => days.query(database, filter, FEATURE, include_str!("usage/features_days.sql")),
        Source::Events => filter.bind(database.query(include_str!("usage/features_rows.sql"))),
        Source::Sequences => database.sequences(selected_sql!("usage/features.sql"), filter),
    };
    Ok(query.param("order", word(order)).param("by", word(by)).param("limit", limit).fetch_all().await?)
}

filtered! {
    pub struct AppsParams {}
}

/// How much an application sent.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize, ToSchema)]
pub struct AppUse {
    pub app: String,
    pub events: u64,
    /// Distinct sessions; a session of two applications counts for both.
    pub sessions: u64,
    pub first_seen: Time,
    pub last_seen: Time,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Apps {
    pub apps: Vec<AppUse>,
}

/// The applications that sent events, most events first.
#[utoipa::path(get, path = "/v1/apps", tag = "Usage", params(AppsParams), responses((status = 200, body = Apps)))]
pub async fn apps(mut ask: Ask, Params(params): Params<AppsParams>) -> Result<Response, Error> {
    let filter = params.filter()?;
    let days = if filter.any_category() { None } else { Days::of(&mut ask, &filter).await? };
    ask.answer(days.as_ref().map_or(Basis::Log, Days::basis), async |database, _| {
        let query = match &days {
            Some(days) => days.query(database, &filter, filter.kind(), include_str!("usage/apps_days.sql")),
            None => filter.bind(database.query(include_str!("usage/apps.sql"))),
        };
        Ok(Apps { apps: query.fetch_all().await? })
    })
    .await
}

filtered! {
    pub struct UnusedParams {}
}

/// An event type that was declared, but not seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct UnusedFeature {
    pub category: String,
    pub name: String,
    /// The last use outside of the range; null if it was never used at all.
    pub last_seen: Option<Time>,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Unused {
    pub features: Vec<UnusedFeature>,
    /// All that are declared (of the category and name asked for): what `features` was chosen from.
    pub declared: Vec<Feature>,
}

/// Declared event types that nobody used in the range (by the app, if one is named).
#[utoipa::path(get, path = "/v1/features/unused", tag = "Usage", params(UnusedParams), responses((status = 200, body = Unused)))]
pub async fn unused(mut ask: Ask, Params(params): Params<UnusedParams>) -> Result<Response, Error> {
    #[derive(Row, Deserialize)]
    struct LastSeen {
        category: String,
        name: String,
        used: bool,
        last_seen: Time,
    }
    let filter = params.filter()?;
    let registry = ask.app.registry.load_full();
    let days = Days::of(&mut ask, &filter).await?;
    ask.answer(days.as_ref().map_or(Basis::Log, Days::basis), async |database, _| {
        let query = match &days {
            Some(days) => days.query(database, &filter, FEATURE, include_str!("usage/last_seen_days.sql")),
            None => filter.bind(database.query(include_str!("usage/last_seen.sql"))),
        };
        let seen: Vec<LastSeen> = query.fetch_all().await?;
        let seen: HashMap<Feature, (bool, Time)> = seen
            .into_iter()
            .map(|row| (Feature { category: row.category, name: row.name }, (row.used, row.last_seen)))
            .collect();
        let asked = |asked: &Option<String>, is: &str| asked.as_deref().is_none_or(|asked| asked == is);
        let declared: Vec<Feature> = registry
            .newest()
            .filter(|declared| {
                asked(&params.category, &declared.category) && asked(&params.name, &declared.name)
            })
            .map(|declared| Feature { category: declared.category.clone(), name: declared.name.clone() })
            .collect();
        let features = declared
            .iter()
            .filter_map(|feature| {
                let last_seen = match seen.get(feature) {
                    Some((true, _)) => return None,
                    Some((false, last_seen)) => Some(*last_seen),
                    None => None,
                };
                let Feature { category, name } = feature.clone();
                Some(UnusedFeature { category, name, last_seen })
            })
            .collect();
        Ok(Unused { features, declared })
    })
    .await
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Interval {
    Minute,
    Hour,
    #[default]
    Day,
    /// From Monday.
    Week,
    Month,
}

/// Length of a cohort's interval, in UTC; weeks start on Mondays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CohortInterval {
    #[default]
    Day,
    Week,
}

filtered! {
    pub struct UsageParams {
        /// Length of a bucket; buckets start on full minutes, hours, days, Mondays, months in UTC.
        #[param(inline)]
        pub interval: Interval,
    }
}

/// One bucket of time.
#[derive(Debug, Clone, PartialEq, Eq, Row, Serialize, Deserialize, ToSchema)]
pub struct Bucket {
    pub start: Time,
    pub events: u64,
    /// Distinct sessions with an event in this bucket.
    pub sessions: u64,
}

#[derive(Debug, Serialize, ToSchema)]
pub struct Usage {
    pub series: Vec<Bucket>,
}

/// Use over time. Buckets without events are included: from `from` to `to` where they are given, else
/// from the first to the last event.
#[utoipa::path(get, path = "/v1/usage", tag = "Usage", params(UsageParams), responses((status = 200, body = Usage)))]
pub async fn usage(mut ask: Ask, Params(params): Params<UsageParams>) -> Result<Response, Error> {
    let filter = params.filter()?;
    let interval = params.interval;
    let days = match interval {
        Interval::Day | Interval::Week | Interval::Month if !filter.any_category() => {
            Days::of(&mut ask, &filter).await?
        }
        _ => None,
    };
    let source = Source::of(&ask, days, &filter).await?;
    ask.answer(source.basis(), async |database, _| {
        let found = series(database, &source, &filter, interval.width()).await?;
        let empty = |start| Bucket { start, events: 0, sessions: 0 };
        Ok(Usage { series: fill(found, |bucket| bucket.start, empty, interval, params.from, params.to)? })
    })
    .await
}

/// A width that has every event in one bucket.
const ALL_TIME: i64 = i64::MAX;

/// The buckets that have events, of `width` microseconds; 0 is a month.
async fn series(
    database: &Database,
    source: &Source,
    filter: &Filter,
    width: i64,
) -> Result<Vec<Bucket>, Error> {
    let query = match source {
        Source::Days(days) => days
            .query(database, filter, filter.kind(), include_str!("usage/series_days.sql"))
            .param("width", width / Interval::Day.width()),
        Source::Events => {
            filter.bind(database.query(include_str!("usage/series_rows.sql"))).param("width", width)
        }
        Source::Sequences => {
            database.sequences(selected_sql!("usage/series.sql"), filter).param("width", width)
        }
    };
    Ok(query.fetch_all().await?)
}

/// More buckets than anyone looks at, and few enough to answer.
const MAX_BUCKETS: usize = 100_000;

/// Adds the empty buckets.
pub(crate) fn fill<B>(
    found: Vec<B>,
    start_of: impl Fn(&B) -> Time,
    empty: impl Fn(Time) -> B,
    interval: Interval,
    from: Option<Time>,
    to: Option<Time>,
) -> Result<Vec<B>, Error> {
    let first = from.map(|from| interval.start(from)).or(found.first().map(&start_of));
    let last = to.map(|to| Time::from_micros(to.micros() - 1)).or(found.last().map(&start_of));
    let (Some(mut start), Some(last)) = (first, last) else { return Ok(found) };
    let mut found = found.into_iter().peekable();
    let mut series = Vec::new();
    while start <= last {
        if series.len() == MAX_BUCKETS {
            return Err(Error::parameter(
                "interval",
                format!(
                    "the range has more than {MAX_BUCKETS} buckets: take a longer `interval` or a shorter range"
                ),
            ));
        }
        series.push(found.next_if(|bucket| start_of(bucket) == start).unwrap_or_else(|| empty(start)));
        start = interval.next(start);
    }
    Ok(series)
}

impl Interval {
    /// In microseconds; 0 for months, which have none.
    pub(crate) fn width(self) -> i64 {
        const MINUTE: i64 = 60 * 1_000_000;
        match self {
            Self::Minute => MINUTE,
            Self::Hour => 60 * MINUTE,
            Self::Day => 24 * 60 * MINUTE,
            Self::Week => 7 * 24 * 60 * MINUTE,
            Self::Month => 0,
        }
    }

    /// The start of the bucket that `time` is in.
    pub(crate) fn start(self, time: Time) -> Time {
        let t = moment(time);
        let (date, hour, minute) = (t.date(), t.hour(), t.minute());
        let clock = match self {
            Self::Minute => Clock::from_hms(hour, minute, 0).unwrap_or(Clock::MIDNIGHT),
            Self::Hour => Clock::from_hms(hour, 0, 0).unwrap_or(Clock::MIDNIGHT),
            _ => Clock::MIDNIGHT,
        };
        let date = match self {
            Self::Week => date - Duration::days(i64::from(date.weekday().number_days_from_monday())),
            Self::Month => date.replace_day(1).unwrap_or(date),
            _ => date,
        };
        micros(OffsetDateTime::new_utc(date, clock))
    }

    /// The start of the bucket after the one that starts at `start`.
    fn next(self, start: Time) -> Time {
        let t = moment(start);
        micros(match self {
            Self::Minute => t + Duration::MINUTE,
            Self::Hour => t + Duration::HOUR,
            Self::Day => t + Duration::DAY,
            Self::Week => t + Duration::WEEK,
            Self::Month => {
                let (year, month) = if t.month() == time::Month::December {
                    (t.year() + 1, time::Month::January)
                } else {
                    (t.year(), t.month().next())
                };
                Date::from_calendar_date(year, month, 1)
                    .map_or(t + Duration::days(31), |date| OffsetDateTime::new_utc(date, Clock::MIDNIGHT))
            }
        })
    }
}

fn moment(time: Time) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(time.micros()) * 1000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn micros(moment: OffsetDateTime) -> Time {
    Time::from_micros((moment.unix_timestamp_nanos() / 1000) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_follow_the_calendar() {
        let check = |interval: Interval, time: &str, start: &str, next: &str| {
            let found = interval.start(Time::parse(time).unwrap());
            assert_eq!(found, Time::parse(start).unwrap(), "{interval:?} of {time}");
            assert_eq!(interval.next(found), Time::parse(next).unwrap(), "{interval:?} after {start}");
        };
        check(Interval::Minute, "2024-02-29 23:59:59.9", "2024-02-29 23:59:00", "2024-03-01");
        check(Interval::Hour, "2024-02-29 23:59:59.9", "2024-02-29 23:00:00", "2024-03-01");
        check(Interval::Day, "2024-02-29 23:59:59.9", "2024-02-29", "2024-03-01");
        check(Interval::Week, "2024-03-03 12:00:00", "2024-02-26", "2024-03-04");
        check(Interval::Month, "2024-12-31 12:00:00", "2024-12-01", "2025-01-01");
        check(Interval::Day, "1969-12-31 23:59:59.999999", "1969-12-31", "1970-01-01");
    }
}
