//! Where a run that has not ended lies. Runs of one trigger that have not gone on since they were accepted differ in their
//! recipients alone: up to `SIZE` of them are one record, a cohort. A run that goes on leaves it, and has a record of its
//! own from then on. From then on it is found by whose it is, too: those that wait for their first step are too many for
//! an index that each of them would be put into by the commit of their trigger.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use serde_json::{Map, Value};

use super::StoreError;
use super::codec::{decode, encode};
use super::tables::{TableId, Tables, run_of};
use crate::base::ids::{RunId, TriggerId};
use crate::model::flow::Flow;
use crate::model::recipient::RecipientRef;
use crate::model::run::{Phase, Run, RunEvent};
use crate::model::trigger::CancelHash;

/// Runs of one cohort: at about 100 bytes each it fits a page, and whoever takes one out writes a page anyway. A power of
/// two: a run's place is the last bits of its id.
const SIZE: u128 = 32;

/// The id of the first run of the cohort in which `id` would be, which is the cohort's key, and its place there.
fn place(id: RunId) -> (RunId, usize) {
    let id = id.0.as_u128();
    (RunId(uuid::Uuid::from_u128(id & !(SIZE - 1))), (id & (SIZE - 1)) as usize)
}

/// The key of the cohort in which the run `id` would be.
pub fn key(id: RunId) -> RunId {
    place(id).0
}

/// Runs that are alike.
#[derive(Serialize, Deserialize)]
pub struct Cohort {
    first: RunId,
    trigger: TriggerId,
    flow: Flow,
    cancel: Option<CancelHash>,
    phase: Phase,
    begun: Option<RunEvent>,
    /// A bit for each run that has left.
    left: u32,
    /// Each a `Member`, which is not looked at before it is asked for.
    members: Vec<ByteBuf>,
}

#[derive(Serialize, Deserialize)]
struct Member {
    recipient: RecipientRef,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    via: Option<RecipientRef>,
}

impl Cohort {
    /// The cohort of `runs`, if they are one: the first and those after it, new, and of one trigger.
    fn of(runs: &[Run]) -> Result<Option<Self>, StoreError> {
        let [first, _, ..] = runs else { return Ok(None) };
        let alike = |run: &Run| {
            run.trigger == first.trigger
                && run.flow == first.flow
                && run.cancel == first.cancel
                && run.phase == first.phase
                && run.begun == first.begun
                && run.revision == 0
        };
        if !runs.iter().enumerate().all(|(index, run)| place(run.id) == (first.id, index) && alike(run)) {
            return Ok(None);
        }
        let members = runs.iter().map(|run| {
            let member = Member { recipient: run.recipient.clone(), data: run.data.clone(), via: run.via.clone() };
            Ok(ByteBuf::from(encode(&member)?))
        });
        Ok(Some(Self {
            first: first.id,
            trigger: first.trigger,
            flow: first.flow,
            cancel: first.cancel,
            phase: first.phase,
            begun: first.begun.clone(),
            left: 0,
            members: members.collect::<Result<_, StoreError>>()?,
        }))
    }

    fn has(&self, index: usize) -> bool {
        index < self.members.len() && self.left & (1 << index) == 0
    }

    fn at(&self, index: usize) -> Result<Run, StoreError> {
        let member = decode(&self.members[index]);
        let Member { recipient, data, via } =
            member.map_err(|error| error.at(TableId::Cohorts, self.first.as_bytes()))?;
        Ok(Run {
            id: RunId(uuid::Uuid::from_u128(self.first.0.as_u128() | index as u128)),
            trigger: self.trigger,
            flow: self.flow,
            recipient,
            data,
            via,
            cancel: self.cancel,
            revision: 0,
            phase: self.phase,
            begun: self.begun.clone(),
        })
    }

    /// The run `id`, if it is one of them.
    pub fn run(&self, id: RunId) -> Result<Option<Run>, StoreError> {
        let (first, index) = place(id);
        (first == self.first && self.has(index)).then(|| self.at(index)).transpose()
    }

    /// All that have not left.
    pub fn runs(&self) -> impl Iterator<Item = Result<Run, StoreError>> {
        (0..self.members.len()).filter(|index| self.has(*index)).map(|index| self.at(index))
    }

    /// What the registry knows of each that has not left.
    pub fn waiting(&self) -> impl Iterator<Item = Waiting> {
        (0..self.members.len()).filter(|index| self.has(*index)).map(|index| Waiting {
            id: RunId(uuid::Uuid::from_u128(self.first.0.as_u128() | index as u128)),
            flow: self.flow,
            cancel: self.cancel,
            phase: self.phase,
        })
    }
}

/// What the registry knows of a run: a part of its record, read without the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Waiting {
    pub id: RunId,
    #[serde(default)]
    pub flow: Flow,
    #[serde(default)]
    pub cancel: Option<CancelHash>,
    pub phase: Phase,
}

/// Encoded records by their keys: cohorts, and runs that lie alone.
#[derive(Clone, Debug, Default)]
pub struct Records {
    pub cohorts: Vec<(RunId, Vec<u8>)>,
    pub alone: Vec<(RunId, Vec<u8>)>,
}

impl Records {
    /// How many bytes the records have.
    pub fn bytes(&self) -> usize {
        self.cohorts.iter().chain(&self.alone).map(|(_, record)| record.len()).sum()
    }

    /// The runs.
    pub fn decoded(&self) -> Result<Vec<Run>, StoreError> {
        let mut runs = self.alone.iter().map(|(_, record)| decode(record)).collect::<Result<Vec<Run>, _>>()?;
        for (_, record) in &self.cohorts {
            decode::<Cohort>(record)?.runs().try_for_each(|run| run.map(|run| runs.push(run)))?;
        }
        Ok(runs)
    }

    /// Encodes new runs.
    pub fn of(runs: &[Run]) -> Result<Self, StoreError> {
        let mut records = Self::default();
        for group in runs.chunk_by(|one, next| place(one.id).0 == place(next.id).0) {
            match Cohort::of(group)? {
                Some(cohort) => records.cohorts.push((cohort.first, encode(&cohort)?)),
                None => {
                    for run in group {
                        records.alone.push((run.id, encode(run)?));
                    }
                }
            }
        }
        Ok(records)
    }
}

/// A run and where it was found.
pub struct Stored {
    pub run: Run,
    cohort: Option<Cohort>,
}

impl Stored {
    /// The run `id`, if it has not ended.
    pub fn load(tables: &mut Tables<'_>, id: RunId) -> Result<Option<Self>, StoreError> {
        if let Some(run) = tables.get(TableId::Runs, id.as_bytes())? {
            return Ok(Some(Self { run, cohort: None }));
        }
        let cohort: Option<Cohort> = tables.get(TableId::Cohorts, key(id).as_bytes())?;
        let Some(cohort) = cohort else { return Ok(None) };
        Ok(cohort.run(id)?.map(|run| Self { run, cohort: Some(cohort) }))
    }

    /// Writes the run as it is now.
    pub fn put(self, tables: &mut Tables<'_>) -> Result<(), StoreError> {
        tables.put(TableId::Runs, self.run.id.as_bytes(), &self.run)?;
        self.leave(tables)
    }

    /// Takes the run from where it lies.
    pub fn remove(self, tables: &mut Tables<'_>) -> Result<Run, StoreError> {
        let run = self.run.clone();
        if self.cohort.is_none() {
            tables.remove(TableId::Runs, run.id.as_bytes())?;
        }
        self.leave(tables)?;
        Ok(run)
    }

    fn leave(self, tables: &mut Tables<'_>) -> Result<(), StoreError> {
        if self.run.revision <= 1 {
            tables.put(TableId::HistoryOf, &run_of(&self.run.recipient, self.run.id), &())?;
        }
        let Some(mut cohort) = self.cohort else { return Ok(()) };
        cohort.left |= 1 << place(self.run.id).1;
        let key = cohort.first;
        if cohort.waiting().next().is_none() {
            tables.remove(TableId::Cohorts, key.as_bytes())
        } else {
            tables.put(TableId::Cohorts, key.as_bytes(), &cohort)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use redb::Database;
    use redb::backends::InMemoryBackend;

    use super::super::read::Reader;
    use super::*;
    use crate::base::clock::Timestamp;

    const BLOCK: uuid::Uuid = uuid::Uuid::from_u128(7 << 10);

    fn run(number: u16) -> Run {
        let data = serde_json::json!({"n": number});
        Run {
            id: RunId::in_block(BLOCK, number),
            trigger: TriggerId::from([1; 16]),
            flow: Flow(3),
            recipient: RecipientRef::user(format!("u{number}")),
            data: data.as_object().filter(|_| number.is_multiple_of(3)).cloned(),
            via: number.is_multiple_of(2).then(|| RecipientRef::tenant("t")),
            cancel: Some(CancelHash([2; 16])),
            revision: 0,
            phase: Phase::Waiting { step: 0, due: Timestamp::from_millis(5) },
            begun: None,
        }
    }

    fn write(database: &Database, work: impl FnOnce(&mut Tables<'_>) -> Result<(), StoreError>) {
        let txn = database.begin_write().unwrap();
        let mut tables = Tables::new(&txn);
        tables.open_all().unwrap();
        work(&mut tables).unwrap();
        drop(tables);
        txn.commit().unwrap();
    }

    #[derive(Clone, Copy, Debug)]
    enum Fate {
        GoesOn,
        Ends,
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Runs of a trigger go on and end in any order: a cohort is never told from runs that lie alone.
        #[test]
        fn a_run_is_where_it_was_put_whoever_left_before_it(
            count in 1u16..90,
            fates in prop::collection::vec((0u16..90, prop_oneof![Just(Fate::GoesOn), Just(Fate::Ends)]), 0..60),
            after in 0u16..90,
        ) {
            let database = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
            let runs: Vec<Run> = (0..count).map(run).collect();
            write(&database, |tables| {
                let Records { cohorts, alone } = Records::of(&runs)?;
                cohorts.iter().try_for_each(|(id, one)| tables.put_encoded(TableId::Cohorts, id.as_bytes(), one))?;
                alone.iter().try_for_each(|(id, one)| tables.put_encoded(TableId::Runs, id.as_bytes(), one))
            });
            let mut model: BTreeMap<RunId, Run> = runs.into_iter().map(|run| (run.id, run)).collect();
            for (number, fate) in fates {
                let id = RunId::in_block(BLOCK, number);
                write(&database, |tables| {
                    let Some(mut stored) = Stored::load(tables, id)? else {
                        assert!(!model.contains_key(&id));
                        return Ok(());
                    };
                    match fate {
                        Fate::GoesOn => {
                            stored.run.revision += 1;
                            stored.run.phase = Phase::Ready { step: 1 };
                            model.insert(id, stored.run.clone());
                            stored.put(tables)
                        }
                        Fate::Ends => {
                            assert_eq!(Some(stored.remove(tables)?), model.remove(&id));
                            Ok(())
                        }
                    }
                });
            }
            let reader = Reader::begin(&database).unwrap();
            for number in 0..90 {
                let id = RunId::in_block(BLOCK, number);
                let stored = reader.run(id).unwrap();
                prop_assert_eq!(stored.as_ref(), model.get(&id));
            }
            let (mut found, mut waiting) = (BTreeMap::new(), Vec::new());
            reader.each_run(|run| drop(found.insert(run.id, run))).unwrap();
            reader.each_waiting(|run| waiting.push((run.id, run.flow, run.cancel, run.phase))).unwrap();
            waiting.sort_unstable_by_key(|one| one.0);
            prop_assert_eq!(waiting, model.values().map(|run| (run.id, run.flow, run.cancel, run.phase)).collect::<Vec<_>>());
            prop_assert_eq!(&found, &model);
            let after = RunId::in_block(BLOCK, after);
            let mut page = Vec::new();
            reader.each_run_after(Some(after), |run| { page.push(run.id); page.len() < 7 }).unwrap();
            let expected = model.keys().filter(|id| **id > after).take(7).copied();
            prop_assert_eq!(page, expected.collect::<Vec<_>>());
        }
    }
}
