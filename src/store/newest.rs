//! Lists of what has time-ordered ids, newest first.

use std::iter::Peekable;
use std::ops::Bound;
use std::time::Duration;

use serde::de::DeserializeOwned;

use super::codec::decode;
use super::cohort::{self, Cohort};
use super::read::{Order, next};
use super::tables::{TableId, owned_prefix, runs_prefix};
use super::{Reader, StoreError};
use crate::base::clock::Timestamp;
use crate::base::ids::{MessageId, RunId, TriggerId};
use crate::model::message::Message;
use crate::model::page::{From, Page, PageRequest};
use crate::model::recipient::RecipientRef;
use crate::model::run::{EndedRun, KnownRun, Run, RunEvent};

/// Records that a page looks at once it holds one: about 50 ms. What it did not find by then is on the next page.
const LOOKED_AT: usize = if cfg!(test) { 5 } else { 10_000 };
/// Records that a page looks at while it holds none, about 3 s of one reader: clients take an empty page for the end.
const LOOKED_AT_IN_VAIN: usize = 500_000;

impl Reader {
    /// A page of everybody's messages, or of one recipient's, whose ids were made within `made`, as `keep` shapes those
    /// that it keeps.
    pub fn messages_page<T>(
        &self,
        of: Option<&RecipientRef>,
        made: (Timestamp, Timestamp),
        request: &PageRequest,
        mut keep: impl FnMut(Message) -> Result<Option<T>, StoreError>,
    ) -> Result<Page<T>, StoreError> {
        let (table, prefix) = of.map_or((TableId::Messages, Vec::new()), |of| (TableId::HistoryOf, owned_prefix(of)));
        self.newest_page(table, &prefix, made, request, |id, value| {
            let message = match of {
                None => Some(decode(value)?),
                // Gone, or another recipient's by now: a deletion or a merge is under way.
                Some(of) => self.get(TableId::Messages, id)?.filter(|message: &Message| message.recipient == *of),
            };
            Ok(message.map(&mut keep).transpose()?.flatten())
        })
    }

    /// A page of what lies under `prefix` by time-ordered ids that were made within `made`. It costs what it looks at,
    /// however much there is; it may be short and still have a next one.
    pub(super) fn newest_page<T>(
        &self,
        table: TableId,
        prefix: &[u8],
        made: (Timestamp, Timestamp),
        request: &PageRequest,
        mut keep: impl FnMut(&[u8], &[u8]) -> Result<Option<T>, StoreError>,
    ) -> Result<Page<T>, StoreError> {
        let Span { first, end, order } = Span::of(prefix, made, request);
        let mut look = Look::new(request);
        let span = (first.as_ref().map(Vec::as_slice), Bound::Excluded(end.as_slice()));
        self.walk_within(table, span, order, |key, value| {
            let id = key.get(prefix.len()..).unwrap_or_default();
            let row = keep(id, value)?;
            Ok(look.take(id, row))
        })?;
        Ok(look.page(order))
    }

    /// A page of runs, wherever they lie, as `keep` shapes those that it keeps. It costs what it looks at, as every page
    /// here.
    pub fn runs_page<T>(
        &self,
        which: &Which<'_>,
        request: &PageRequest,
        mut keep: impl FnMut(KnownRun) -> Result<Option<T>, StoreError>,
    ) -> Result<Page<T>, StoreError> {
        let span = Span::of(&[], which.made, request);
        let mut places = self.runs_within(which, &span, request)?;
        let mut look = Look::new(request);
        loop {
            // What cannot be read comes first, so that it is told.
            let rank = |next: Option<&Result<KnownRun, StoreError>>| match next? {
                Ok(known) => Some((true, span.order.rank(known.run().id))),
                Err(_) => Some((false, 0)),
            };
            let ranks = places.iter_mut().enumerate().filter_map(|(place, runs)| Some((rank(runs.peek())?, place)));
            let Some((_, place)) = ranks.min() else { break };
            let Some(known) = places[place].next().transpose()? else { break };
            let id = known.run().id;
            let row = keep(known)?;
            if !look.take(id.as_bytes(), row) {
                break;
            }
        }
        Ok(look.page(span.order))
    }

    /// All messages that a run made: it is kept at least as long as they are.
    pub fn messages_of_run(&self, run: RunId) -> Result<Vec<MessageId>, StoreError> {
        let events: Vec<RunEvent> = self.all(TableId::RunEvents, run.as_bytes())?;
        Ok(events.into_iter().filter_map(|event| event.message).collect())
    }

    /// All messages that came of a trigger.
    pub fn messages_of_trigger(&self, trigger: TriggerId) -> Result<Vec<MessageId>, StoreError> {
        let made = (trigger.made_at(), trigger.made_at().plus(self.widest_gap()?));
        let which = Which { made, of: None, trigger: Some(trigger), has_ended: None };
        let all = PageRequest { from: From::Start, size: usize::MAX };
        let span = Span::of(&[], made, &all);
        let mut found = Vec::new();
        for known in self.runs_within(&which, &span, &all)?.into_iter().flatten() {
            let known = known?;
            if known.run().trigger == trigger {
                found.extend(self.messages_of_run(known.run().id)?);
            }
        }
        Ok(found)
    }

    /// The runs of each of the tables that hold some.
    fn runs_within<'a>(
        &'a self,
        which: &'a Which<'_>,
        span: &'a Span,
        request: &PageRequest,
    ) -> Result<Vec<Peekable<Runs<'a>>>, StoreError> {
        let mut places: Vec<Runs<'a>> = Vec::new();
        if which.has_ended != Some(true) {
            places.extend(self.pending_within(which, span)?);
        }
        match which.of {
            Some(of) => places.push(Box::new(self.gone_on(of, which, request)?)),
            None if which.has_ended != Some(false) => {
                let ended = self.records::<EndedRun>(TableId::EndedRuns, span.first.clone(), span, which.trace())?;
                places.push(Box::new(ended.map(|run| run.map(KnownRun::Ended))));
            }
            None => {}
        }
        Ok(places.into_iter().map(Iterator::peekable).collect())
    }

    /// The runs of `of` that have gone on since they were accepted.
    fn gone_on<'a>(
        &'a self,
        of: &'a RecipientRef,
        which: &'a Which<'_>,
        request: &PageRequest,
    ) -> Result<impl Iterator<Item = Result<KnownRun, StoreError>> + use<'a>, StoreError> {
        let prefix = runs_prefix(of);
        let Span { first, end, order } = Span::of(&prefix, which.made, request);
        let span = (first.as_ref().map(Vec::as_slice), Bound::Excluded(end.as_slice()));
        let mut range = self.range(TableId::HistoryOf, span)?;
        let found = std::iter::from_fn(move || next(order, &mut range).transpose()).map(move |entry| {
            let (key, _) = entry?;
            let id = key.value().get(prefix.len()..).and_then(|id| <[u8; 16]>::try_from(id).ok());
            id.map_or(Ok(None), |id| self.known_run(RunId::from(id)))
        });
        let wanted = |known: &KnownRun| which.has_ended.is_none_or(|ended| ended == known.outcome().is_some());
        Ok(found.filter_map(Result::transpose).filter(move |known| known.as_ref().map_or(true, wanted)))
    }

    /// The runs that have not ended; of one recipient, those that have not gone on.
    fn pending_within<'a>(&'a self, which: &'a Which<'_>, span: &'a Span) -> Result<[Runs<'a>; 2], StoreError> {
        let alone = self.records::<Run>(TableId::Runs, span.first.clone(), span, which.trace())?;
        // A cohort lies at the id of its first run, and may begin before the span.
        let first = match &span.first {
            Bound::Included(id) | Bound::Excluded(id) => id.as_slice().try_into().ok(),
            Bound::Unbounded => None,
        };
        let first = first
            .map_or(Bound::Unbounded, |id: [u8; 16]| Bound::Included(cohort::key(RunId::from(id)).as_bytes().to_vec()));
        let cohorts = self.records::<Cohort>(TableId::Cohorts, first, span, which.trace())?;
        let members = cohorts.flat_map(|cohort| {
            let mut runs = cohort.map_or_else(|error| vec![Err(error)], |cohort| cohort.runs().collect());
            if span.order == Order::NewestFirst {
                runs.reverse();
            }
            runs
        });
        let members = members.filter(|run| run.as_ref().map_or(true, |run| span.holds(run.id.as_bytes())));
        let wanted = |run: &Run| which.of.is_none_or(|of| run.recipient == *of && run.revision == 0);
        let both: [Runs<'a>; 2] = [
            Box::new(alone.filter(move |run| run.as_ref().map_or(true, wanted)).map(|run| run.map(KnownRun::Pending))),
            Box::new(
                members.filter(move |run| run.as_ref().map_or(true, wanted)).map(|run| run.map(KnownRun::Pending)),
            ),
        ];
        Ok(both)
    }

    /// The records of `table` from `first` to the end of `span`, in its order, that hold the bytes of `trace`.
    fn records<'a, T: DeserializeOwned>(
        &self,
        table: TableId,
        first: Bound<Vec<u8>>,
        span: &Span,
        trace: &'a [u8],
    ) -> Result<impl Iterator<Item = Result<T, StoreError>> + use<'a, T>, StoreError> {
        let (order, first) = (span.order, first.as_ref().map(Vec::as_slice));
        let mut range = self.range(table, (first, Bound::Excluded(span.end.as_slice())))?;
        let entries = std::iter::from_fn(move || next(order, &mut range).transpose());
        Ok(entries.filter_map(move |entry| match entry {
            Ok((key, record)) => holds(record.value(), trace).then(|| table.decode(key.value(), record.value())),
            Err(error) => Some(Err(error)),
        }))
    }
}

/// Which runs a page is of.
pub struct Which<'a> {
    /// When their ids were made, both ends included.
    pub made: (Timestamp, Timestamp),
    pub of: Option<&'a RecipientRef>,
    pub trigger: Option<TriggerId>,
    /// Only those that have ended, or only those that have not.
    pub has_ended: Option<bool>,
}

impl Which<'_> {
    /// Bytes that every record of such a run holds: most others need not be decoded, which takes ten times as long.
    fn trace(&self) -> &[u8] {
        match (&self.trigger, self.of) {
            (Some(trigger), _) => trigger.as_bytes(),
            (None, Some(of)) => of.id.as_bytes(),
            (None, None) => &[],
        }
    }
}

fn holds(record: &[u8], trace: &[u8]) -> bool {
    let Some((first, rest)) = trace.split_first() else { return true };
    record.iter().enumerate().any(|(at, byte)| byte == first && record[at + 1..].starts_with(rest))
}

/// Runs in the order of a page.
type Runs<'a> = Box<dyn Iterator<Item = Result<KnownRun, StoreError>> + 'a>;

/// The keys that a page looks at, and from which end.
struct Span {
    first: Bound<Vec<u8>>,
    end: Vec<u8>,
    order: Order,
}

impl Span {
    fn of(prefix: &[u8], made: (Timestamp, Timestamp), request: &PageRequest) -> Self {
        let key = |id: &[u8]| [prefix, id].concat();
        let first = key(MessageId::least(made.0).as_bytes());
        let end = key(MessageId::least(made.1.plus(Duration::from_millis(1))).as_bytes());
        let (first, end, order) = match &request.from {
            From::Start => (Bound::Included(first), end, Order::NewestFirst),
            From::After(cursor) => (Bound::Included(first), end.min(key(cursor)), Order::NewestFirst),
            From::Before(cursor) => (Bound::Excluded(first.max(key(cursor))), end, Order::OldestFirst),
        };
        Self { first, end, order }
    }

    fn holds(&self, key: &[u8]) -> bool {
        let begun = match &self.first {
            Bound::Included(first) => key >= first.as_slice(),
            Bound::Excluded(first) => key > first.as_slice(),
            Bound::Unbounded => true,
        };
        begun && key < self.end.as_slice()
    }
}

/// What a page has found, and when it has looked enough.
struct Look<'a, T> {
    request: &'a PageRequest,
    rows: Vec<(Vec<u8>, T)>,
    looked_at: usize,
    /// Where it stopped before it was full.
    stopped_at: Option<Vec<u8>>,
}

impl<'a, T> Look<'a, T> {
    fn new(request: &'a PageRequest) -> Self {
        Self { request, rows: Vec::new(), looked_at: 0, stopped_at: None }
    }

    /// Counts what lies at `id`, and keeps its row; whether to look on.
    fn take(&mut self, id: &[u8], row: Option<T>) -> bool {
        self.rows.extend(row.map(|row| (id.to_vec(), row)));
        self.looked_at += 1;
        let enough = if self.rows.is_empty() { LOOKED_AT_IN_VAIN } else { LOOKED_AT };
        let full = self.rows.len() > self.request.size;
        let stops = self.looked_at >= enough && !full;
        self.stopped_at = stops.then(|| id.to_vec());
        !stops && !full
    }

    fn page(self, order: Order) -> Page<T> {
        let mut page = Page::of(self.rows, self.request);
        if self.stopped_at.is_some() {
            match order {
                Order::NewestFirst => page.after = self.stopped_at,
                Order::OldestFirst => page.before = self.stopped_at,
            }
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use redb::Database;
    use redb::backends::InMemoryBackend;

    use super::super::cohort::{Records, Stored};
    use super::super::tables::Tables;
    use super::super::tests::{Bench, START, run};
    use super::*;
    use crate::model::run::{Outcome, Phase, RunEventKind};
    use crate::store::op::{Advance, Changes, NewMessage, Next};

    const EVER: (Timestamp, Timestamp) = (Timestamp::from_millis(0), Timestamp::MAX);
    const ALL: Which<'_> = Which { made: EVER, of: None, trigger: None, has_ended: None };

    /// The ids that `request` leads to, page by page in its direction.
    fn walk(reader: &Reader, of: Option<&RecipientRef>, mut from: From, wanted: impl Fn(u8) -> bool) -> Vec<u8> {
        let backwards = matches!(from, From::Before(_));
        let mut found = Vec::new();
        loop {
            let request = PageRequest { from, size: 3 };
            let number = |message: Message| Ok(Some(message.id.as_bytes()[0]).filter(|number| wanted(*number)));
            let page = reader.messages_page(of, EVER, &request, number).unwrap();
            assert!(page.entries.len() <= 3);
            let next = if backwards { page.before } else { page.after };
            found.extend(if backwards { page.entries.into_iter().rev().collect() } else { page.entries });
            match next {
                Some(next) => from = if backwards { From::Before(next) } else { From::After(next) },
                None => return found,
            }
        }
    }

    /// The numbers of runs, in the same way.
    fn walk_runs(reader: &Reader, mut from: From, wanted: impl Fn(u8) -> bool) -> Vec<u8> {
        let backwards = matches!(from, From::Before(_));
        let mut found = Vec::new();
        loop {
            let request = PageRequest { from, size: 3 };
            let number = |known: KnownRun| Ok(Some(known.run().id.as_bytes()[0]).filter(|number| wanted(*number)));
            let page = reader.runs_page(&ALL, &request, number).unwrap();
            let next = if backwards { page.before } else { page.after };
            found.extend(if backwards { page.entries.into_iter().rev().collect() } else { page.entries });
            match next {
                Some(next) => from = if backwards { From::Before(next) } else { From::After(next) },
                None => return found,
            }
        }
    }

    #[tokio::test]
    async fn runs_are_found_in_order_wherever_they_lie() {
        let bench = Bench::new();
        // Those that are divisible by three go on and lie alone, by five have ended; the others are as they were accepted.
        for number in 1..=30 {
            bench.accept_run(run(number), None, START).await.unwrap();
            let to = match number {
                _ if number % 5 == 0 => Next::End(Outcome::Finished),
                _ if number % 3 == 0 => Next::Phase(Phase::Ready { step: 1 }),
                _ => continue,
            };
            bench.advance(number, 0, to, None).await.unwrap();
        }
        let reader = bench.store.read().unwrap();
        let newest: Vec<u8> = (1..=30).rev().collect();
        let oldest: Vec<u8> = (1..=30).collect();
        assert_eq!(walk_runs(&reader, From::Start, |_| true), newest);
        assert_eq!(walk_runs(&reader, From::Before(vec![0; 16]), |_| true), oldest);
        assert_eq!(walk_runs(&reader, From::Start, |number| number == 1), [1]);
        let of = |wanted: fn(&u8) -> bool| newest.iter().copied().filter(wanted).collect::<Vec<_>>();
        assert_eq!(walk_runs(&reader, From::Start, |number| number % 7 == 0), of(|number| number % 7 == 0));
        assert_eq!(walk_runs(&reader, From::After(vec![4; 16]), |_| true), [3, 2, 1]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        /// Runs of one trigger, of which any have left their cohort and any have ended.
        #[test]
        fn a_cohort_that_some_have_left_is_listed_as_its_runs_are(
            count in 1u16..90, left in prop::collection::vec((0u16..90, any::<bool>()), 0..40), size in 1usize..5, at in 0u16..90,
            of in prop::option::of(0u16..4), has_ended in prop::option::of(any::<bool>()), by_trigger: bool
        ) {
            let database = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
            let block = uuid::Uuid::from_u128(7 << 10);
            let person = |number: u16| RecipientRef::user(format!("u{}", number % 3));
            let like = |number| Run { id: RunId::in_block(block, number), recipient: person(number), ..run(1) };
            let runs: Vec<Run> = (0..count).map(like).collect();
            let mut over = std::collections::BTreeSet::new();
            let txn = database.begin_write().unwrap();
            let mut tables = Tables::new(&txn);
            tables.open_all().unwrap();
            let Records { cohorts, alone } = Records::of(&runs).unwrap();
            for (table, records) in [(TableId::Cohorts, cohorts), (TableId::Runs, alone)] {
                records.iter().for_each(|(id, one)| tables.put_encoded(table, id.as_bytes(), one).unwrap());
            }
            for (number, ends) in left {
                let Some(mut stored) = Stored::load(&mut tables, RunId::in_block(block, number)).unwrap() else { continue };
                stored.run.revision += 1;
                if ends {
                    over.insert(number);
                    let run = stored.remove(&mut tables).unwrap();
                    let ended = EndedRun { run, outcome: Outcome::Finished, ended_at: START };
                    tables.put(TableId::EndedRuns, ended.run.id.as_bytes(), &ended).unwrap();
                } else {
                    stored.put(&mut tables).unwrap();
                }
            }
            drop(tables);
            txn.commit().unwrap();
            let reader = Reader::begin(&database).unwrap();
            let is_wanted = |number: &u16| of.is_none_or(|of| of == number % 3)
                && has_ended.is_none_or(|ended| ended == over.contains(number));
            let rows: Vec<_> = (0..count).rev().filter(is_wanted)
                .map(|number| (RunId::in_block(block, number).as_bytes().to_vec(), number)).collect();
            // A fourth one has none.
            let of = of.map(|of| if of == 3 { RecipientRef::user("u") } else { person(of) });
            let which = Which { made: EVER, of: of.as_ref(), trigger: by_trigger.then(|| run(1).trigger), has_ended };
            let cursor = RunId::in_block(block, at).as_bytes().to_vec();
            for from in [From::Start, From::After(cursor.clone()), From::Before(cursor)] {
                let request = PageRequest { from, size };
                let number = |known: KnownRun| Ok(Some((known.run().id.0.as_u128() & 0x3ff) as u16));
                let page = reader.runs_page(&which, &request, number).unwrap();
                let side = rows.iter().filter(|(id, _)| match &request.from {
                    From::Start => true,
                    From::After(cursor) => id < cursor,
                    From::Before(cursor) => id > cursor,
                });
                let side: Vec<u16> = side.map(|(_, number)| *number).collect();
                let expected = match request.from {
                    From::Before(_) => &side[side.len().saturating_sub(size)..],
                    _ => &side[..side.len().min(size)],
                };
                prop_assert_eq!(page.entries, expected);
            }
        }
    }

    #[tokio::test]
    async fn what_a_run_and_a_trigger_made_is_looked_up() {
        let bench = Bench::new();
        let (first, other) = (bench.accept_at(1, "ann", START).await, bench.accept_at(2, "ann", START).await);
        let mut made = Vec::new();
        for (run, number) in [(&first, 1), (&other, 2)] {
            let message = Bench::item(number, run, "ann", START);
            let event = RunEvent {
                message: Some(message.id),
                ..RunEvent::of_step(RunEventKind::MessageEnqueued, "email", START)
            };
            made.push(message.id);
            let to = Next::End(Outcome::Finished);
            let (message, events) = (Some(NewMessage::Keep(message)), vec![event]);
            let (gate, changes) = (None, Changes::default());
            let advance = Advance { run: run.id, expect: 0, to, gate, changes, message, events, at: START };
            bench.store.advance(advance).await.unwrap();
        }
        let reader = bench.store.read().unwrap();
        assert_eq!(reader.messages_of_run(other.id).unwrap(), [made[1]]);
        assert_eq!(reader.messages_of_trigger(first.trigger).unwrap(), [made[0]]);
        assert!(reader.messages_of_trigger(TriggerId::from([9; 16])).unwrap().is_empty());
    }

    #[tokio::test]
    async fn pages_that_stop_looking_lead_on_to_every_message_that_is_wanted() {
        let bench = Bench::new();
        for number in 1..=30 {
            bench.publish(number, if number % 2 == 0 { "even" } else { "odd" }, NewMessage::Keep).await;
        }
        let reader = bench.store.read().unwrap();
        let newest: Vec<u8> = (1..=30).rev().collect();
        let of = |wanted: fn(&u8) -> bool| newest.iter().copied().filter(wanted).collect::<Vec<_>>();
        assert_eq!(walk(&reader, None, From::Start, |_| true), newest);
        assert_eq!(walk(&reader, None, From::Start, |number| number % 4 == 0), of(|number| number % 4 == 0));
        assert_eq!(walk(&reader, None, From::Start, |number| number == 1), [1]);
        let even = RecipientRef::user("even");
        assert_eq!(walk(&reader, Some(&even), From::Start, |_| true), of(|number| number % 2 == 0));
        let oldest = From::Before(vec![0; 16]);
        assert_eq!(walk(&reader, None, oldest, |number| number % 4 == 0), (1..=7).map(|n| n * 4).collect::<Vec<_>>());
        let late = (START, Timestamp::from_millis(0));
        let none = reader.messages_page(None, late, &PageRequest { from: From::Start, size: 3 }, |_| Ok(Some(())));
        assert_eq!(none.unwrap().entries.len(), 0);
    }
}
