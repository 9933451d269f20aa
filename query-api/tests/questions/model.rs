//! The questions answered by plain loops over plain lists: slow, and obviously right.

use std::collections::{BTreeMap, BTreeSet};

use query_api::values::Time;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::world::Sent;

const DAY: i64 = 86_400_000_000;

/// (category, name)
pub type Feature = (String, String);

/// What a question is narrowed to.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub from: Option<i64>,
    pub to: Option<i64>,
    pub app: Option<String>,
    pub category: Option<String>,
    pub name: Option<String>,
}

impl Filter {
    pub fn includes(&self, time: i64) -> bool {
        self.from.is_none_or(|from| time >= from) && self.to.is_none_or(|to| time < to)
    }
}

/// A session's events that pass the filter, in order: time and feature.
pub type Session = Vec<(i64, Feature)>;

/// All events of a session in order, each with whether it passes the filter.
pub type Whole = Vec<(bool, i64, Feature)>;

pub fn whole_sessions(log: &[Sent], filter: &Filter) -> Vec<Whole> {
    let mut seen = BTreeSet::new();
    let mut sessions: BTreeMap<Uuid, Whole> = BTreeMap::new();
    for event in log {
        if !seen.insert(event.event_id) {
            continue;
        }
        let is = |asked: &Option<String>, is: &str| asked.as_deref().is_none_or(|asked| asked == is);
        let passes = filter.includes(event.time)
            && is(&filter.app, &event.app)
            && is(&filter.category, &event.category)
            && is(&filter.name, &event.name);
        let feature = (event.category.clone(), event.name.clone());
        sessions.entry(event.session_id).or_default().push((passes, event.time, feature));
    }
    let mut sessions: Vec<Whole> = sessions.into_values().collect();
    for session in &mut sessions {
        // Stable: equal times stay in order of arrival.
        session.sort_by_key(|(_, time, _)| *time);
    }
    sessions
}

/// What the filter leaves of each session.
pub fn left(sessions: &[Whole]) -> Vec<Session> {
    let events = |session: &Whole| -> Session {
        session
            .iter()
            .filter(|(passes, ..)| *passes)
            .map(|(_, time, feature)| (*time, feature.clone()))
            .collect()
    };
    sessions.iter().map(events).filter(|session| !session.is_empty()).collect()
}

pub fn feature(feature: &Feature) -> Value {
    json!({"category": feature.0, "name": feature.1})
}

/// The mean of the middle two of an even number, in milliseconds.
fn median_ms(mut micros: Vec<i64>) -> Option<f64> {
    micros.sort_unstable();
    let middle = micros.len() / 2;
    match micros.len() {
        0 => None,
        n if n % 2 == 1 => Some(micros[middle] as f64 / 1000.0),
        _ => Some((micros[middle - 1] as f64 + micros[middle] as f64) / 2.0 / 1000.0),
    }
}

pub fn features(sessions: &[Session], least: bool, by_sessions: bool) -> Value {
    let mut used: BTreeMap<Feature, (u64, u64, i64, i64)> = BTreeMap::new();
    for session in sessions {
        let mut once = BTreeSet::new();
        for (time, feature) in session {
            let entry = used.entry(feature.clone()).or_insert((0, 0, i64::MAX, i64::MIN));
            entry.0 += 1;
            entry.1 += u64::from(once.insert(feature));
            (entry.2, entry.3) = (entry.2.min(*time), entry.3.max(*time));
        }
    }
    let mut used: Vec<_> = used.into_iter().collect();
    used.sort_by_key(|(feature, (events, sessions, ..))| {
        let count = if by_sessions { *sessions } else { *events } as i64;
        (if least { count } else { -count }, feature.clone())
    });
    let line = |(feature, (events, sessions, first, last)): (Feature, (u64, u64, i64, i64))| {
        json!({"category": feature.0, "name": feature.1, "events": events, "sessions": sessions,
            "first_seen": Time::from_micros(first).to_string(), "last_seen": Time::from_micros(last).to_string()})
    };
    used.into_iter().map(line).collect()
}

pub fn total(sessions: &[Session]) -> Value {
    json!({"events": sessions.iter().map(Vec::len).sum::<usize>(), "sessions": sessions.len()})
}

/// By buckets, each named by its start; empty ones are left out.
pub fn usage(sessions: &[Session], start_of: fn(i64) -> i64) -> Value {
    let mut buckets: BTreeMap<i64, (u64, u64)> = BTreeMap::new();
    for session in sessions {
        let mut once = BTreeSet::new();
        for (time, _) in session {
            let bucket = start_of(*time);
            let entry = buckets.entry(bucket).or_default();
            entry.0 += 1;
            entry.1 += u64::from(once.insert(bucket));
        }
    }
    let line = |(start, (events, sessions)): (i64, (u64, u64))| json!({"start": Time::from_micros(start).to_string(), "events": events, "sessions": sessions});
    buckets.into_iter().map(line).collect()
}

/// By application, of the applications that the filter leaves.
pub fn apps(log: &[Sent], filter: &Filter) -> Value {
    let names: BTreeSet<&String> = log.iter().map(|event| &event.app).collect();
    let mut used: Vec<(u64, &String, Value)> = Vec::new();
    for name in names.into_iter().filter(|name| filter.app.as_ref().is_none_or(|app| app == *name)) {
        let filter = Filter { app: Some(name.clone()), ..filter.clone() };
        let sessions = left(&whole_sessions(log, &filter));
        let times: Vec<i64> = sessions.iter().flatten().map(|(time, _)| *time).collect();
        let (Some(first), Some(last)) = (times.iter().min(), times.iter().max()) else { continue };
        let time = |micros: &i64| Time::from_micros(*micros).to_string();
        let line = json!({"app": name, "events": times.len(), "sessions": sessions.len(),
            "first_seen": time(first), "last_seen": time(last)});
        used.push((times.len() as u64, name, line));
    }
    used.sort_by_key(|(events, name, _)| (std::cmp::Reverse(*events), *name));
    used.into_iter().map(|(.., line)| line).collect()
}

pub fn transitions(sessions: &[Session]) -> Value {
    let mut found: BTreeMap<(Feature, Feature), (Vec<i64>, u64)> = BTreeMap::new();
    for session in sessions {
        let mut once = BTreeSet::new();
        for pair in session.windows(2) {
            let key = (pair[0].1.clone(), pair[1].1.clone());
            let entry = found.entry(key.clone()).or_default();
            entry.0.push(pair[1].0 - pair[0].0);
            entry.1 += u64::from(once.insert(key));
        }
    }
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort_by_key(|(pair, (gaps, _))| (std::cmp::Reverse(gaps.len()), pair.clone()));
    let line = |((from, to), (gaps, sessions)): ((Feature, Feature), (Vec<i64>, u64))| {
        json!({"from": feature(&from), "to": feature(&to), "count": gaps.len(), "sessions": sessions,
            "median_gap_ms": median_ms(gaps)})
    };
    found.into_iter().map(line).collect()
}

pub fn precedence(sessions: &[Session]) -> Value {
    let mut before: BTreeMap<(Feature, Feature), u64> = BTreeMap::new();
    for session in sessions {
        let mut firsts: Vec<&Feature> = Vec::new();
        for (_, feature) in session {
            if !firsts.contains(&feature) {
                firsts.push(feature);
            }
        }
        for (place, first) in firsts.iter().enumerate() {
            for then in &firsts[place + 1..] {
                *before.entry(((*first).clone(), (*then).clone())).or_default() += 1;
            }
        }
    }
    let mut pairs: Vec<_> = before.iter().collect();
    pairs.sort_by_key(|(pair, sessions)| (std::cmp::Reverse(**sessions), (*pair).clone()));
    let line = |(pair, sessions): (&(Feature, Feature), &u64)| {
        let back = before.get(&(pair.1.clone(), pair.0.clone())).copied().unwrap_or(0);
        json!({"first": feature(&pair.0), "then": feature(&pair.1), "sessions": sessions, "both": sessions + back})
    };
    pairs.into_iter().map(line).collect()
}

/// Windows of `length`, or whole sessions without one.
pub fn paths(
    sessions: &[Session],
    length: Option<usize>,
    start: Option<&Feature>,
    through: Option<&Feature>,
    end: Option<&Feature>,
    limit: usize,
) -> Value {
    let mut found: BTreeMap<Vec<Feature>, (u64, u64)> = BTreeMap::new();
    for session in sessions.iter().filter(|session| !session.is_empty()) {
        let steps: Vec<Feature> = session.iter().map(|(_, feature)| feature.clone()).collect();
        let mut once = BTreeSet::new();
        for path in steps.windows(length.unwrap_or(steps.len())) {
            let chosen = start.is_none_or(|start| path.first() == Some(start))
                && end.is_none_or(|end| path.last() == Some(end))
                && through.is_none_or(|through| path.contains(through));
            if chosen {
                let entry = found.entry(path.to_vec()).or_default();
                entry.0 += 1;
                entry.1 += u64::from(once.insert(path.to_vec()));
            }
        }
    }
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort_by_key(|(path, (count, _))| (std::cmp::Reverse(*count), path.clone()));
    found.truncate(limit);
    let line = |(path, (count, sessions)): (Vec<Feature>, (u64, u64))| json!({"steps": path.iter().map(feature).collect::<Vec<_>>(), "count": count, "sessions": sessions});
    found.into_iter().map(line).collect()
}

/// The event at a place of the whole session counts, if it passes the filter itself.
pub fn ends(sessions: &[Whole], step: usize, from_end: bool) -> Value {
    let mut found: BTreeMap<Feature, u64> = BTreeMap::new();
    for session in sessions {
        let place = if from_end { session.len().checked_sub(step) } else { Some(step - 1) };
        if let Some((true, _, feature)) = place.and_then(|place| session.get(place)) {
            *found.entry(feature.clone()).or_default() += 1;
        }
    }
    let mut found: Vec<_> = found.into_iter().collect();
    found.sort_by_key(|(feature, sessions)| (std::cmp::Reverse(*sessions), feature.clone()));
    let line = |(feature, sessions): (Feature, u64)| json!({"category": feature.0, "name": feature.1, "sessions": sessions});
    found.into_iter().map(line).collect()
}

/// Every start tried, each step taken as early as possible after the one before.
pub fn funnel(
    sessions: &[Session],
    steps: &[Feature],
    window: Option<i64>,
    first: bool,
    exclude: &[Feature],
) -> Value {
    let mut times: Vec<Vec<i64>> = vec![Vec::new(); steps.len()];
    let mut shortest: Vec<Vec<i64>> = vec![Vec::new(); steps.len()];
    for session in sessions {
        let starts = (0..session.len()).filter(|place| session[*place].1 == steps[0]);
        let starts: Vec<usize> = starts.take(if first { 1 } else { usize::MAX }).collect();
        let mut reached: Vec<Vec<i64>> = vec![Vec::new(); steps.len()];
        for start in starts {
            let mut place = start;
            reached[0].push(0);
            for (step, feature) in steps.iter().enumerate().skip(1) {
                let Some(next) = (place + 1..session.len()).find(|next| session[*next].1 == *feature) else {
                    break;
                };
                let broken = session[start + 1..next].iter().any(|(_, feature)| exclude.contains(feature));
                let took = session[next].0 - session[start].0;
                if broken || window.is_some_and(|window| took > window) {
                    break;
                }
                reached[step].push(took);
                place = next;
            }
        }
        for (step, took) in reached.iter().enumerate() {
            times[step].extend(took.first());
            shortest[step].extend(took.iter().min());
        }
    }
    let line = |(step, feature): (usize, &Feature)| {
        json!({"category": feature.0, "name": feature.1, "sessions": times[step].len(),
            "median_time_ms": median_ms(times[step].clone()), "median_shortest_ms": median_ms(shortest[step].clone())})
    };
    steps.iter().enumerate().map(line).collect()
}

/// Sessions by their real first event; `now` is the newest moment that the log includes.
pub fn retention(sessions: &[Whole], filter: &Filter, now: i64, days: i64, periods: usize) -> Value {
    let length = days * DAY;
    // 1970-01-05 was a Monday.
    let origin = if days == 7 { 4 * DAY } else { 0 };
    let bucket = |time: i64| (time - origin).div_euclid(length);
    let start = |bucket: i64| bucket * length + origin;
    let mut cohorts: BTreeMap<i64, (u64, Vec<Option<u64>>)> = BTreeMap::new();
    for session in sessions.iter().filter(|session| filter.includes(session[0].1)) {
        let first = bucket(session[0].1);
        let uses = session.iter().filter(|(passes, ..)| *passes);
        let later: BTreeSet<i64> = uses.map(|(_, time, _)| bucket(*time) - first).collect();
        if later.is_empty() {
            continue;
        }
        let none = |n: i64| {
            let start = start(first + n);
            (start <= now && filter.to.is_none_or(|to| start < to)).then_some(0)
        };
        let (sessions, returned) =
            cohorts.entry(first).or_insert_with(|| (0, (0..=periods as i64).map(none).collect()));
        *sessions += 1;
        for later in later {
            if let Some(returned) = returned.get_mut(later as usize) {
                *returned = Some(returned.unwrap_or(0) + 1);
            }
        }
    }
    let line = |(bucket, (sessions, returned)): (i64, (u64, Vec<Option<u64>>))| json!({"start": Time::from_micros(start(bucket)).to_string(), "sessions": sessions, "returned": returned});
    cohorts.into_iter().map(line).collect()
}

/// Of a flow: its rank in the column, and its JSON.
type Node = (usize, String);

/// Every use of `anchor` is followed `length - 1` events onwards (or `backwards`).
pub fn flow(sessions: &[Session], anchor: &Feature, backwards: bool, length: usize, top: usize) -> Value {
    // None: the session has ended.
    let mut windows: Vec<Vec<Option<Feature>>> = Vec::new();
    for session in sessions {
        let mut features: Vec<&Feature> = session.iter().map(|(_, feature)| feature).collect();
        if backwards {
            features.reverse();
        }
        for start in (0..features.len()).filter(|place| features[*place] == anchor) {
            windows
                .push((start..start + length).map(|place| features.get(place).copied().cloned()).collect());
        }
    }
    let counts = |column: usize| -> Vec<(Feature, u64)> {
        let mut counts: BTreeMap<Feature, u64> = BTreeMap::new();
        for feature in windows.iter().filter_map(|window| window[column].clone()) {
            *counts.entry(feature).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(feature, count)| (std::cmp::Reverse(*count), feature.clone()));
        counts
    };
    let node = |column: usize, feature: &Option<Feature>| match feature {
        None => (top + 1, json!({"kind": "ended"})),
        Some(used) => match counts(column).iter().take(top).position(|(named, _)| named == used) {
            Some(place) => (place, json!({"kind": "feature", "category": used.0, "name": used.1})),
            None => (top, json!({"kind": "other"})),
        },
    };
    let mut columns = Vec::new();
    let mut links = Vec::new();
    for column in 0..length {
        let counts = counts(column);
        let (named, other) = counts.split_at(top.min(counts.len()));
        let ended = |window: &&Vec<Option<Feature>>| {
            column > 0 && window[column - 1].is_some() && window[column].is_none()
        };
        columns.push(json!({
            "features": named.iter().map(|(feature, count)|
                json!({"category": feature.0, "name": feature.1, "count": count})).collect::<Vec<_>>(),
            "other": {"features": other.len(), "count": other.iter().map(|(_, count)| count).sum::<u64>()},
            "ended": windows.iter().filter(ended).count(),
        }));
        let mut found: BTreeMap<(Node, Node), u64> = BTreeMap::new();
        for window in windows.iter().filter(|window| column > 0 && window[column - 1].is_some()) {
            let key = |column: usize| {
                let (rank, node) = node(column, &window[column]);
                (rank, node.to_string())
            };
            *found.entry((key(column - 1), key(column))).or_default() += 1;
        }
        let mut found: Vec<_> = found.into_iter().collect();
        found.sort_by_key(|((from, to), count)| (std::cmp::Reverse(*count), from.0, to.0));
        links.extend(found.into_iter().map(|(((_, from), (_, to)), count)| {
            let node = |text: String| serde_json::from_str::<Value>(&text).unwrap();
            json!({"column": column, "from": node(from), "to": node(to), "count": count})
        }));
    }
    json!({"starts": windows.len(), "columns": columns, "links": links})
}
