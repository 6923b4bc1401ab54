//! Schedules: kept with the instant at which each comes next. The trigger that an occurrence makes and the occurrence
//! after it are one commit, so that each happens once whenever the process ends.

use jiff::tz::TimeZone;

use super::op::{ChangeSchedules, Done, Occurrence, Op, ScheduleChange};
use super::read::Order;
use super::tables::{TableId, Tables, instant_key, owned, owned_prefix};
use super::writer::unexpected;
use super::{Reader, Refused, Store, StoreError, profiles};
use crate::base::clock::Timestamp;
use crate::base::ids::ScheduleId;
use crate::model::page::{Page, PageRequest};
use crate::model::recipient::{Recipient, RecipientRef};
use crate::model::schedule::Schedule;
use crate::model::schedule_request::NewSchedule;

/// Schedules of one write: each takes about five writes to tables, so that a portion holds the writer for 5 ms.
const PORTION: usize = 100;

impl Store {
    /// Makes, changes or deletes schedules with one commit; answers those that were found.
    pub async fn change_schedules(&self, change: ChangeSchedules) -> Result<Vec<Schedule>, StoreError> {
        match self.try_submit(Op::ChangeSchedules(Box::new(change))).await? {
            Done::Schedules(schedules) => Ok(schedules),
            other => Err(unexpected(&other)),
        }
    }

    /// Makes many, which repeat by the clocks of `zone` where nobody has one. When the process ends in between, the first
    /// of them are kept.
    pub async fn make_schedules(
        &self,
        all: Vec<(ScheduleId, NewSchedule)>,
        at: Timestamp,
        zone: &TimeZone,
    ) -> Result<(), StoreError> {
        for some in all.chunks(PORTION) {
            let change = ScheduleChange::Make(some.to_vec());
            let change = ChangeSchedules { change, people: Vec::new(), at, zone: zone.clone(), bytes: 0 };
            self.submit(Op::ChangeSchedules(Box::new(change))).await?;
        }
        Ok(())
    }

    /// Lets an occurrence go by.
    pub async fn miss(&self, occurrence: Occurrence) -> Result<(), StoreError> {
        self.submit(Op::MissOccurrence(occurrence)).await.map(drop)
    }
}

/// The prefix of what a workflow triggers by schedule; no workflow's key holds a NUL.
fn by(workflow: &str) -> Vec<u8> {
    [workflow.as_bytes(), &[0]].concat()
}

fn due_key(at: Timestamp, id: ScheduleId) -> Vec<u8> {
    [instant_key(at).as_slice(), id.as_bytes()].concat()
}

/// Applies a change.
pub fn change(tables: &mut Tables<'_>, change: ChangeSchedules) -> Result<Done, StoreError> {
    let people = profiles::merged(tables, &change.people, change.at)?;
    profiles::keep(tables, people)?;
    let (at, mut changed) = (change.at, Vec::new());
    match change.change {
        ScheduleChange::Make(all) => {
            for (id, NewSchedule { workflow, recipient, plan }) in all {
                let (next_at, last_at) = (None, None);
                let (inserted_at, updated_at) = (at, at);
                let mut schedule =
                    Schedule { id, workflow, recipient, plan, next_at, last_at, inserted_at, updated_at };
                tables.put(TableId::SchedulesOf, &owned(&schedule.recipient, id.as_bytes()), &())?;
                tables.put(TableId::SchedulesBy, &[by(&schedule.workflow).as_slice(), id.as_bytes()].concat(), &())?;
                schedule.look_ahead(at, &zone(tables, &schedule, &change.zone)?);
                put(tables, None, &schedule)?;
                changed.push(schedule);
            }
        }
        ScheduleChange::Update(ids, plan) => {
            for id in ids {
                let Some(mut schedule) = get(tables, id)? else { continue };
                let due = schedule.next_at;
                plan.apply(&mut schedule.plan);
                schedule.updated_at = at;
                schedule.look_ahead(at, &zone(tables, &schedule, &change.zone)?);
                put(tables, due, &schedule)?;
                changed.push(schedule);
            }
        }
        ScheduleChange::Delete(ids) => {
            for id in ids {
                let Some(schedule) = get(tables, id)? else { continue };
                remove(tables, &schedule)?;
                changed.push(schedule);
            }
        }
    }
    Ok(Done::Schedules(changed))
}

fn get(tables: &mut Tables<'_>, id: ScheduleId) -> Result<Option<Schedule>, StoreError> {
    tables.get(TableId::Schedules, id.as_bytes())
}

/// The zone by whose clocks it repeats: its recipient's, else its tenant's, else that of the environment.
fn zone(tables: &mut Tables<'_>, schedule: &Schedule, environment: &TimeZone) -> Result<TimeZone, StoreError> {
    let tenant = schedule.plan.tenant.as_deref().map(RecipientRef::tenant);
    for asked in [Some(&schedule.recipient), tenant.as_ref()].into_iter().flatten() {
        let known: Option<Recipient> = tables.get(TableId::Recipients, &asked.key())?;
        if let Some(zone) = known.and_then(|known| known.own_zone()) {
            return Ok(zone);
        }
    }
    Ok(environment.clone())
}

/// Writes a schedule that was to come at `due`.
fn put(tables: &mut Tables<'_>, due: Option<Timestamp>, schedule: &Schedule) -> Result<(), StoreError> {
    if let Some(due) = due {
        tables.remove(TableId::SchedulesDue, &due_key(due, schedule.id))?;
    }
    if let Some(next) = schedule.next_at {
        tables.put(TableId::SchedulesDue, &due_key(next, schedule.id), &())?;
    }
    tables.put(TableId::Schedules, schedule.id.as_bytes(), schedule)
}

fn remove(tables: &mut Tables<'_>, schedule: &Schedule) -> Result<(), StoreError> {
    let id = schedule.id.as_bytes();
    if let Some(due) = schedule.next_at {
        tables.remove(TableId::SchedulesDue, &due_key(due, schedule.id))?;
    }
    tables.remove(TableId::SchedulesOf, &owned(&schedule.recipient, id))?;
    tables.remove(TableId::SchedulesBy, &[by(&schedule.workflow).as_slice(), id].concat())?;
    tables.remove(TableId::Schedules, id)
}

/// The schedule whose occurrence comes, if it is still the one that comes next.
pub fn due(tables: &mut Tables<'_>, occurrence: &Occurrence) -> Result<Schedule, StoreError> {
    let schedule = get(tables, occurrence.schedule)?;
    Ok(schedule.filter(|schedule| schedule.next_at == Some(occurrence.due)).ok_or(Refused::Stale)?)
}

/// Its `occurrence` has come.
pub fn pass(
    tables: &mut Tables<'_>,
    mut schedule: Schedule,
    occurrence: &Occurrence,
    happened: bool,
) -> Result<(), StoreError> {
    let (due, zone) = (schedule.next_at, zone(tables, &schedule, &occurrence.zone)?);
    schedule.pass(occurrence.at, happened, &zone);
    put(tables, due, &schedule)
}

/// Deletes the schedules of a recipient, which are few, or gives them to an heir.
pub fn leave(tables: &mut Tables<'_>, of: &RecipientRef, heir: Option<&RecipientRef>) -> Result<(), StoreError> {
    let prefix = owned_prefix(of);
    for (key, ()) in tables.with_prefix::<()>(TableId::SchedulesOf, &prefix)? {
        let Ok(id) = <[u8; 16]>::try_from(&key[prefix.len()..]) else { continue };
        let Some(mut schedule) = get(tables, ScheduleId::from(id))? else { continue };
        let Some(heir) = heir else {
            remove(tables, &schedule)?;
            continue;
        };
        tables.remove(TableId::SchedulesOf, &key)?;
        tables.put(TableId::SchedulesOf, &owned(heir, &id), &())?;
        schedule.recipient = heir.clone();
        tables.put(TableId::Schedules, &id, &schedule)?;
    }
    Ok(())
}

impl Reader {
    /// A schedule.
    pub fn schedule(&self, id: ScheduleId) -> Result<Option<Schedule>, StoreError> {
        self.get(TableId::Schedules, id.as_bytes())
    }

    /// When the first of all schedules comes.
    pub fn first_due(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.due_schedules(Timestamp::MAX, 1)?.first().and_then(|schedule| schedule.next_at))
    }

    /// At most `most` schedules that come by `by`, the first ones first.
    pub fn due_schedules(&self, by: Timestamp, most: usize) -> Result<Vec<Schedule>, StoreError> {
        use std::ops::Bound::{Excluded, Unbounded};
        let end = instant_key(by.plus(std::time::Duration::from_micros(1)));
        let mut found = Vec::new();
        self.walk_within(TableId::SchedulesDue, (Unbounded, Excluded(&end)), Order::OldestFirst, |key, _| {
            let id = key.get(8..).and_then(|id| <[u8; 16]>::try_from(id).ok());
            if let Some(id) = id {
                found.extend(self.schedule(ScheduleId::from(id))?);
            }
            Ok(found.len() < most)
        })?;
        Ok(found)
    }

    /// A page of the schedules of a workflow, newest first, of which `wanted` ones are kept.
    pub fn schedules_by(
        &self,
        workflow: &str,
        request: &PageRequest,
        wanted: impl Fn(&Schedule) -> bool,
    ) -> Result<Page<Schedule>, StoreError> {
        self.schedules_under(TableId::SchedulesBy, &by(workflow), request, wanted)
    }

    /// A page of the schedules of a recipient.
    pub fn schedules_of(
        &self,
        recipient: &RecipientRef,
        request: &PageRequest,
        wanted: impl Fn(&Schedule) -> bool,
    ) -> Result<Page<Schedule>, StoreError> {
        self.schedules_under(TableId::SchedulesOf, &owned_prefix(recipient), request, wanted)
    }

    /// A page of the schedules of some recipients, newest first: each has few.
    pub fn schedules_among(
        &self,
        recipients: &[RecipientRef],
        request: &PageRequest,
        wanted: impl Fn(&Schedule) -> bool,
    ) -> Result<Page<Schedule>, StoreError> {
        let mut ids = Vec::new();
        for recipient in recipients {
            self.each_key(TableId::SchedulesOf, &owned_prefix(recipient), |id| ids.extend(<[u8; 16]>::try_from(id)))?;
        }
        Page::newest_among(ids, request, |id| Ok(self.schedule(ScheduleId::from(id))?.filter(&wanted)))
    }

    fn schedules_under(
        &self,
        table: TableId,
        prefix: &[u8],
        request: &PageRequest,
        wanted: impl Fn(&Schedule) -> bool,
    ) -> Result<Page<Schedule>, StoreError> {
        let ever = (Timestamp::default(), Timestamp::MAX);
        self.newest_page(table, prefix, ever, request, |id, _| {
            let schedule: Option<Schedule> = self.get(TableId::Schedules, id)?;
            Ok(schedule.filter(&wanted))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::super::op::Identify;
    use super::super::tests::{Bench, START};
    use super::*;
    use crate::model::page::From;
    use crate::model::profile::Profile;
    use crate::model::schedule_request::{CreateRequest, UpdateRequest};

    const DAY: Duration = Duration::from_secs(24 * 3_600);

    async fn apply(bench: &Bench, change: ScheduleChange) -> Vec<Schedule> {
        bench
            .store
            .change_schedules(ChangeSchedules { change, people: Vec::new(), at: START, zone: TimeZone::UTC, bytes: 0 })
            .await
            .unwrap()
    }

    /// What comes of `schedule` at its time.
    fn came(schedule: &Schedule) -> Occurrence {
        let due = schedule.next_at.unwrap();
        Occurrence { schedule: schedule.id, due, at: due, zone: TimeZone::UTC }
    }

    async fn daily(bench: &Bench, number: u8, user: &str) -> Schedule {
        let body = json!({"workflow": "w", "recipients": [user], "repeats": [{"frequency": "daily", "hours": 9}]});
        let new = CreateRequest::from_json(&body).unwrap().schedules.remove(0);
        apply(bench, ScheduleChange::Make(vec![(ScheduleId::from([number; 16]), new)])).await.remove(0)
    }

    fn stale<T>(done: Result<T, StoreError>) -> bool {
        matches!(done, Err(StoreError::Refused(Refused::Stale)))
    }

    /// The schedules that are due within ten years, the first ones first.
    fn due(bench: &Bench) -> Vec<u8> {
        let due = bench.store.read().unwrap().due_schedules(START.plus(DAY * 3_650), 9).unwrap();
        due.into_iter().map(|schedule| schedule.id.as_bytes()[0]).collect()
    }

    #[tokio::test]
    async fn an_occurrence_triggers_once_and_its_commit_finds_the_next_one_also_over_a_restart() {
        let bench = Bench::new();
        let first = daily(&bench, 1, "u").await;
        let came = came(&first);
        bench.accept_occurrence(1, came.clone()).await.unwrap();
        let bench = bench.reopen();
        assert!(stale(bench.accept_occurrence(2, came.clone()).await));
        assert!(stale(bench.store.miss(came.clone()).await));
        let reader = bench.store.read().unwrap();
        let mut runs = 0;
        reader.each_run(|_| runs += 1).unwrap();
        let second = reader.schedule(first.id).unwrap().unwrap();
        assert_eq!((runs, second.last_at), (1, first.next_at));
        assert_eq!((second.next_at, reader.first_due().unwrap()), (Some(came.due.plus(DAY)), Some(came.due.plus(DAY))));
    }

    #[tokio::test]
    async fn what_was_changed_or_deleted_meanwhile_does_not_come() {
        let bench = Bench::new();
        let (changed, deleted, gone) =
            (daily(&bench, 1, "a").await, daily(&bench, 2, "b").await, daily(&bench, 3, "c").await);
        assert_eq!(due(&bench), [1, 2, 3]);
        let body = json!({"schedule_ids": [], "repeats": [{"frequency": "daily", "hours": 10}]});
        let change = UpdateRequest::from_json(&body).unwrap().change;
        apply(&bench, ScheduleChange::Update(vec![changed.id], change)).await;
        assert_eq!(due(&bench), [2, 3, 1]);
        apply(&bench, ScheduleChange::Delete(vec![deleted.id, ScheduleId::from([9; 16])])).await;
        bench.store.remove(vec![RecipientRef::user("c")], START).await.unwrap();
        for (number, schedule) in [(1, &changed), (2, &deleted), (3, &gone)] {
            assert!(stale(bench.accept_occurrence(number, came(schedule)).await));
        }
        assert_eq!(due(&bench), [1]);
        let reader = bench.store.read().unwrap();
        let all = PageRequest { from: From::Start, size: 9 };
        assert_eq!(reader.schedules_by("w", &all, |_| true).unwrap().entries.len(), 1);
        assert!(reader.schedules_of(&gone.recipient, &all, |_| true).unwrap().entries.is_empty());
    }

    #[tokio::test]
    async fn the_next_occurrence_follows_the_zone_that_the_recipient_is_in_by_then() {
        let bench = Bench::new();
        let first = daily(&bench, 1, "u").await;
        lives(&bench, RecipientRef::user("u"), "Asia/Tokyo").await;
        bench.accept_occurrence(1, came(&first)).await.unwrap();
        let next = bench.store.read().unwrap().schedule(first.id).unwrap().unwrap().next_at;
        // Nine hours earlier by the clocks of Tokyo, and on the next day.
        assert_eq!(next, Some(came(&first).due.plus(DAY - Duration::from_secs(9 * 3_600))));
    }

    async fn lives(bench: &Bench, who: RecipientRef, zone: &str) {
        let properties = json!({"timezone": zone}).as_object().unwrap().clone();
        let people = vec![(who, Profile { properties, ..Profile::default() })];
        bench.store.identify(Identify { people, at: START, bytes: 0 }).await.unwrap();
    }

    #[tokio::test]
    async fn a_schedule_repeats_by_the_zone_of_its_recipient_else_of_its_tenant_else_of_the_environment() {
        let bench = Bench::new();
        lives(&bench, RecipientRef::tenant("acme"), "Asia/Tokyo").await;
        lives(&bench, RecipientRef::user("at-home"), "Asia/Kolkata").await;
        let environment = TimeZone::get("America/New_York").unwrap();
        let mut hours = Vec::new();
        for (number, user, tenant) in [(1, "at-home", Some("acme")), (2, "u", Some("acme")), (3, "u", None)] {
            let body = json!({"workflow": "w", "recipients": [user], "tenant": tenant,
                "repeats": [{"frequency": "daily", "hours": 9}]});
            let new = CreateRequest::from_json(&body).unwrap().schedules.remove(0);
            let all = vec![(ScheduleId::from([number; 16]), new)];
            bench.store.make_schedules(all, START, &environment).await.unwrap();
            let made = bench.store.read().unwrap().schedule(ScheduleId::from([number; 16])).unwrap().unwrap();
            let mut at = made.next_at.unwrap();
            for _ in 0..2 {
                hours.push(at.to_string()[11..16].to_owned());
                let zone = environment.clone();
                bench.store.miss(Occurrence { schedule: made.id, due: at, at, zone }).await.unwrap();
                at = at.plus(DAY);
            }
        }
        assert_eq!(hours, ["03:30", "03:30", "00:00", "00:00", "14:00", "14:00"]);
    }
}
