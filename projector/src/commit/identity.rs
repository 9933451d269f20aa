//! Whether the log is still the one that the tables were made from.
//!
//! Another log may have the same name: the topic was made anew, an older copy was restored, the brokers lost their last
//! records, the address leads to another cluster. Offsets do not tell. So records that were judged are read once more
//! and compared with their rows in the ledger. (Kafka has ids of topics, but rdkafka can't ask for them.)

use std::collections::BTreeMap;
use std::ops::Range;

use infra::database::within;
use tables::{Verdict, cluster};
use uuid::Uuid;

use crate::commit::ledger::Extent;
use crate::database::{ANSWER, Database};
use crate::error::{Error, Result};
use crate::judge::native::read_id;
use crate::judge::witness::Witness;
use crate::log::{Break, Why};
use crate::work::Work;

/// How far before the ledger's end records are compared. The last ones tell of a lost tail and of every other log. The
/// others tell of another log that was projected for a while already.
const BACK: [u64; 7] = [1, 2, 3, 64, 4_096, 65_536, 1_048_576];

/// What a person, or a projector, has last said of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    Nothing,
    /// The offset at which the log is another one.
    Refused(u64),
    /// The records up to this offset may be lost.
    Accepted {
        lost_to: u64,
    },
}

impl Said {
    fn accepted_to(&self) -> u64 {
        if let Self::Accepted { lost_to } = self { *lost_to } else { 0 }
    }
}

/// Compares the log with what is known of a partition, of which the group has `committed` an offset, and writes down
/// what changes. Returns the offset up to which a person has accepted a loss.
///
/// # Errors
/// [`Error::OtherLog`]; the log or the tables can't be read.
pub(crate) async fn check(
    work: &Work,
    partition: i32,
    log: &Range<u64>,
    committed: Option<u64>,
    ledger: Extent,
    suspect: Option<u64>,
) -> Result<u64> {
    let said = work.database.said(partition).await?;
    let found = compare(work, partition, log, committed, ledger, &said, suspect).await;
    match (&found, &said) {
        (Err(Error::OtherLog(found)), said) if *said != Said::Refused(found.offset) => {
            work.database.say_refused(found).await?;
        }
        (Ok(()), Said::Refused(offset)) => {
            tracing::info!(partition, offset, "the log is the right one again");
            work.database.say_resolved(partition, *offset).await?;
        }
        _ => {}
    }
    found.map(|()| said.accepted_to())
}

/// The same, and only tells. `committed` is the group's offset.
pub(crate) async fn compare(
    work: &Work,
    partition: i32,
    log: &Range<u64>,
    committed: Option<u64>,
    ledger: Extent,
    said: &Said,
    suspect: Option<u64>,
) -> Result<()> {
    let other = |partition, offset, why| Err(Error::OtherLog(Break { partition, offset, why }));
    let ledger_end = if ledger.rows == 0 { 0 } else { ledger.last + 1 };
    let committed = committed.filter(|offset| *offset > said.accepted_to());
    let known_end = ledger_end.max(committed.unwrap_or(0));
    if known_end > log.end {
        return other(partition, log.end, Why::Shorter { known_end });
    }
    let refused = if let Said::Refused(offset) = said { Some(*offset) } else { None };
    let found = look_back(work, partition, log, ledger_end, suspect.into_iter().chain(refused)).await?;
    match found {
        Found::Another(offset) => return other(partition, offset, Why::Other),
        Found::Same => return Ok(()),
        Found::Nothing => {}
    }
    // A partition without witnesses goes on only if another one has a witness for this log.
    let Some((stands_for, last)) = work.database.longest_other(partition).await? else { return Ok(()) };
    let elsewhere = |offset| other(partition, offset, Why::Elsewhere { partition: stands_for });
    if !work.read_log(|log| log.partitions()).await?.contains(&stands_for) {
        return elsewhere(0);
    }
    let their_log = work.bounds(stands_for).await?;
    if last >= their_log.end {
        return elsewhere(their_log.end);
    }
    match look_back(work, stands_for, &their_log, last + 1, []).await? {
        Found::Another(offset) => elsewhere(offset),
        Found::Same | Found::Nothing => Ok(()),
    }
}

/// What the records of a partition tell.
enum Found {
    /// The log has none of the records that could tell.
    Nothing,
    Same,
    /// The record at this offset is not the one that was judged.
    Another(u64),
}

/// Compares records before `end`, where the ledger ends, and those of `more`.
async fn look_back(
    work: &Work,
    partition: i32,
    log: &Range<u64>,
    end: u64,
    more: impl IntoIterator<Item = u64>,
) -> Result<Found> {
    let offsets = BACK.iter().filter_map(|back| end.checked_sub(*back)).chain(more);
    let offsets: Vec<u64> = offsets.filter(|offset| log.contains(offset) && *offset < end).collect();
    let witnesses = work.database.witnesses(partition, &offsets).await?;
    let contradicted = contradicted(work, partition, &witnesses).await?;
    Ok(match contradicted {
        Some(witness) => Found::Another(witness.offset),
        None if witnesses.is_empty() => Found::Nothing,
        None => Found::Same,
    })
}

/// The first of these witnesses that does not recognise the record of the log.
pub(crate) async fn contradicted(
    work: &Work,
    partition: i32,
    witnesses: &[Witness],
) -> Result<Option<Witness>> {
    for witness in witnesses.iter().copied() {
        let judge = work.judge.load_full();
        let sampled = work.read_log(move |log| {
            log.sample(partition, witness.offset, |record| witness.recognises(&judge, record))
        });
        if !sampled.await?.unwrap_or(false) {
            return Ok(Some(witness));
        }
    }
    Ok(None)
}

impl Database {
    /// What the ledger says of those of `offsets` that hold a record, in their order.
    pub(crate) async fn witnesses(&self, partition: i32, offsets: &[u64]) -> Result<Vec<Witness>> {
        if offsets.is_empty() {
            return Ok(Vec::new());
        }
        let mut rows: BTreeMap<u64, (Uuid, i64, u8)> = BTreeMap::new();
        let row = |row: &[u8; 33]| {
            let (offset, rest) = row.split_first_chunk::<8>().expect("33 bytes");
            let (id, rest) = rest.split_first_chunk::<16>().expect("25 bytes");
            let (time, verdict) = rest.split_first_chunk::<8>().expect("9 bytes");
            let id = Uuid::from_u128(read_id(*id));
            rows.insert(u64::from_le_bytes(*offset), (id, i64::from_le_bytes(*time), verdict[0]));
        };
        let wanted: Vec<u64> =
            offsets.iter().flat_map(|offset| [offset.saturating_sub(1), *offset]).collect();
        let query = self.query(include_str!("identity/rows.sql")).param("partition", partition);
        Self::read(query.param("offsets", wanted), row).await?;
        let mut witnesses: Vec<Witness> = offsets
            .iter()
            .filter_map(|offset| {
                let (event_id, log_time, verdict) = *rows.get(offset)?;
                let before = offset.checked_sub(1).and_then(|before| rows.get(&before));
                let log_time_before = before.map_or(0, |(_, time, _)| *time);
                let witness = Witness { offset: *offset, event_id, log_time, log_time_before };
                let has_record =
                    !matches!(Verdict::of(verdict), Some(Verdict::Absent | Verdict::Lost) | None);
                has_record.then_some(witness)
            })
            .collect();
        witnesses.sort_by_key(|witness| witness.offset);
        witnesses.dedup();
        Ok(witnesses)
    }

    /// The last offset of a range that holds a record, as the ledger says.
    pub(crate) async fn last_record(&self, partition: i32, range: Range<u64>) -> Result<Option<u64>> {
        let sql = "SELECT offset FROM {database}.ledger WHERE partition = {partition:UInt16} \
                   AND offset >= {from:UInt64} AND offset < {to:UInt64} AND verdict NOT IN ('absent', 'lost') \
                   ORDER BY partition DESC, offset DESC LIMIT 1";
        let query = self.query(sql).param("partition", partition);
        Ok(within(ANSWER, query.param("from", range.start).param("to", range.end).fetch_optional()).await?)
    }

    /// Of all other partitions the one that was judged furthest, and its last offset.
    async fn longest_other(&self, partition: i32) -> Result<Option<(i32, u64)>> {
        let query = self.query(include_str!("identity/longest_other.sql")).param("partition", partition);
        let found: Option<(u16, u64)> = within(ANSWER, query.fetch_optional()).await?;
        Ok(found.map(|(partition, last)| (partition.into(), last)))
    }

    pub(crate) async fn said(&self, partition: i32) -> Result<Said> {
        let sql = "SELECT toInt8(state), offset, lost_to FROM {database}.log_breaks \
                   WHERE partition = {partition:UInt16} ORDER BY at DESC LIMIT 1";
        let query = self.query(sql).param("partition", partition);
        let found: Option<(i8, u64, u64)> = within(ANSWER, query.fetch_optional()).await?;
        Ok(match found {
            Some((1, offset, _)) => Said::Refused(offset),
            Some((3, _, lost_to)) => Said::Accepted { lost_to },
            _ => Said::Nothing,
        })
    }

    pub(crate) async fn say_refused(&self, found: &Break) -> Result<()> {
        self.say(found.partition, "refused", found.offset, (0, 0), &found.to_string()).await
    }

    async fn say_resolved(&self, partition: i32, offset: u64) -> Result<()> {
        self.say(partition, "resolved", offset, (0, 0), "").await
    }

    /// A person accepts that the records of `range` are lost, `events` of which were accepted.
    pub(crate) async fn say_accepted(&self, partition: i32, range: &Range<u64>, events: u64) -> Result<()> {
        self.say(partition, "accepted", range.start, (range.end, events), "").await
    }

    async fn say(
        &self,
        partition: i32,
        state: &str,
        offset: u64,
        (lost_to, lost): (u64, u64),
        why: &str,
    ) -> Result<()> {
        let sql = "INSERT INTO {own}.log_breaks SELECT {partition:UInt16}, now64(6), {state:String}, \
                   {offset:UInt64}, {lost_to:UInt64}, {lost:UInt64}, {why:String}";
        let insert = self.client.query(&sql.replace("{own}", &cluster::own(&self.config, self.generation)));
        let insert = insert
            .param("partition", partition)
            .param("state", state)
            .param("offset", offset)
            .param("lost_to", lost_to)
            .param("lost", lost)
            .param("why", why);
        Ok(within(ANSWER, insert.execute()).await?)
    }
}
