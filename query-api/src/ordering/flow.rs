//! Flows: what comes after (or before) every use of a feature, step by step.

use axum::response::Response;
use clickhouse::Row;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{FeatureName, Numbers};
use crate::answer::Ask;
use crate::as_of::Basis;
use crate::error::Error;
use crate::params::{Body, Filter, NoParams, Params};
use crate::sql::Form::{Count, Is};
use crate::values::{Feature, Time};

const MAX_LENGTH: u8 = 12;
const MAX_TOP: u32 = 50;

#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FlowBody {
    /// The feature that every flow begins with. Give either this or `end`.
    pub start: Option<FeatureName>,
    /// The feature that every flow ends with; the columns lead back from it.
    pub end: Option<FeatureName>,
    /// How many columns, the column of the start (or end) included, 2 to 12 (4).
    pub length: Option<u8>,
    /// How many features of a column are named, 1 to 50 (7). All other features of a column count together.
    pub top: Option<u32>,
    pub from: Option<Time>,
    pub to: Option<Time>,
    pub app: Option<String>,
    pub category: Option<String>,
    pub name: Option<String>,
}

/// A feature of a column, and how often it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FlowFeature {
    #[serde(flatten)]
    pub feature: Feature,
    pub count: u64,
}

/// The features of a column that are not named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct FlowOther {
    /// How many different features.
    pub features: u32,
    /// How often they are there.
    pub count: u64,
}

/// A column adds up to the features of the column before, named or not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct FlowColumn {
    /// The most frequent first; ties by category, then name.
    pub features: Vec<FlowFeature>,
    pub other: FlowOther,
    /// How often the column before has the last event (with `end`: the first event) that the filters leave of a
    /// session.
    pub ended: u64,
}

/// One node of a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FlowNode {
    /// A feature that is named.
    Feature(Feature),
    /// Any feature that is not named.
    Other,
    /// No event: the session has ended (with `end`: it had not begun).
    Ended,
}

/// How often `to` in a column is next to `from` in the column before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FlowLink {
    /// The column of `to`.
    pub column: u8,
    pub from: FlowNode,
    pub to: FlowNode,
    pub count: u64,
}

#[derive(Debug, Default, Serialize, ToSchema)]
pub struct Flow {
    /// How often the start (or end) was used.
    pub starts: u64,
    /// `length` columns. Column 0 is the start (or end); column n is n events after (or before) it.
    pub columns: Vec<FlowColumn>,
    /// By column, the most frequent first.
    pub links: Vec<FlowLink>,
}

/// What comes after (or before) every use of a feature, step by step. All uses count, overlapping ones included.
/// Every use is in each column, as a feature or as an end, until its session has ended.
#[utoipa::path(post, path = "/v1/order/flow", tag = "Order", request_body = FlowBody, responses((status = 200, body = Flow)))]
pub async fn flow(
    ask: Ask,
    Params(_): Params<NoParams>,
    Body { value: body, bytes }: Body<FlowBody>,
) -> Result<Response, Error> {
    let filter =
        Filter::new(body.from, body.to, body.app.as_deref(), body.category.as_deref(), body.name.as_deref())?;
    let (anchor, backwards) = match (&body.start, &body.end) {
        (Some(start), None) => (start, false),
        (None, Some(end)) => (end, true),
        _ => return Err(Error::parameter("start", "a flow has a `start` or an `end`: give one of them")),
    };
    let length = body.length.unwrap_or(4);
    if !(2..=MAX_LENGTH).contains(&length) {
        return Err(Error::parameter(
            "length",
            format!("`length` is {length}, but must be 2 to {MAX_LENGTH}"),
        ));
    }
    let top = body.top.unwrap_or(7);
    if !(1..=MAX_TOP).contains(&top) {
        return Err(Error::parameter("top", format!("`top` is {top}, but must be 1 to {MAX_TOP}")));
    }
    ask.about(&bytes)
        .answer(Basis::Sequences, async |database, _| {
            let start = Numbers::read(database).await?.of(anchor)?;
            // In the statement 0 is an end.
            if start == 0 {
                return Ok(Flow::of(anchor, length, top, Vec::new()));
            }
            let form = [("length", Count(length.into())), ("backwards", Is(backwards))];
            let query = database.filtered("ordering/flow.sql", &filter, form)?;
            let links = query.param("start", start).param("top", top).fetch_all().await?;
            Ok(Flow::of(anchor, length, top, links))
        })
        .await
}

/// A row of flow.sql.
#[derive(Row, Deserialize)]
struct Link {
    column: u8,
    from_rank: u32,
    from_feature: Feature,
    /// 0 for an end.
    to_rank: u32,
    to_feature: Feature,
    count: u64,
    /// The highest rank of the features that `to` counts together.
    last_rank: u32,
}

impl Flow {
    fn of(anchor: &FeatureName, length: u8, top: u32, links: Vec<Link>) -> Self {
        let node = |rank, feature| match rank {
            0 => FlowNode::Ended,
            rank if rank <= top => FlowNode::Feature(feature),
            _ => FlowNode::Other,
        };
        let starts = links.iter().filter(|link| link.column == 1).map(|link| link.count).sum();
        let mut columns = vec![FlowColumn::default(); length.into()];
        if starts > 0 {
            columns[0].add(&FlowNode::Feature((anchor.category.clone(), anchor.name.clone()).into()), starts);
        }
        let links = links.into_iter().map(|link| {
            let to = node(link.to_rank, link.to_feature);
            let column = &mut columns[usize::from(link.column)];
            column.add(&to, link.count);
            column.other.features = column.other.features.max(link.last_rank.saturating_sub(top));
            FlowLink {
                column: link.column,
                from: node(link.from_rank, link.from_feature),
                to,
                count: link.count,
            }
        });
        let links = links.collect();
        for column in &mut columns {
            column.features.sort_by(|one, two| (two.count, &one.feature).cmp(&(one.count, &two.feature)));
        }
        Self { starts, columns, links }
    }
}

impl FlowColumn {
    fn add(&mut self, node: &FlowNode, count: u64) {
        match node {
            FlowNode::Ended => self.ended += count,
            FlowNode::Other => self.other.count += count,
            FlowNode::Feature(feature) => {
                let known = self.features.iter_mut().find(|used| used.feature == *feature);
                match known {
                    Some(used) => used.count += count,
                    None => self.features.push(FlowFeature { feature: feature.clone(), count }),
                }
            }
        }
    }
}
