//! Schedules: when a workflow is triggered for one recipient, once or again and again (`knock-engine.md` section 2.7).

use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::recipient::{Recipient, RecipientRef};
use super::repeat::Repeat;
use crate::base::clock::Timestamp;
use crate::base::ids::ScheduleId;

/// A schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    pub id: ScheduleId,
    pub workflow: String,
    pub recipient: RecipientRef,
    pub plan: Plan,
    /// `None`: never again.
    pub next_at: Option<Timestamp>,
    pub last_at: Option<Timestamp>,
    pub inserted_at: Timestamp,
    pub updated_at: Timestamp,
}

/// What a client says of a schedule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// None: once, at `scheduled_at`.
    pub repeats: Vec<Repeat>,
    /// Nothing happens before it.
    pub scheduled_at: Option<Timestamp>,
    /// Nothing happens after it.
    pub ending_at: Option<Timestamp>,
    pub data: Option<Map<String, Value>>,
    pub tenant: Option<String>,
    pub actor: Option<RecipientRef>,
}

/// A change of some of it; `None` leaves as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlanChange {
    pub repeats: Option<Vec<Repeat>>,
    pub scheduled_at: Option<Option<Timestamp>>,
    pub ending_at: Option<Option<Timestamp>>,
    pub data: Option<Option<Map<String, Value>>>,
    pub tenant: Option<Option<String>>,
    pub actor: Option<Option<RecipientRef>>,
}

impl PlanChange {
    /// `plan` with the change.
    pub fn apply(&self, plan: &mut Plan) {
        fn set<T: Clone>(from: &Option<T>, to: &mut T) {
            if let Some(value) = from {
                *to = value.clone();
            }
        }
        set(&self.repeats, &mut plan.repeats);
        set(&self.scheduled_at, &mut plan.scheduled_at);
        set(&self.ending_at, &mut plan.ending_at);
        set(&self.data, &mut plan.data);
        set(&self.tenant, &mut plan.tenant);
        set(&self.actor, &mut plan.actor);
    }
}

impl Schedule {
    /// Finds the occurrence that comes next, as of `now`, by the clocks of the recipient's zone.
    pub fn look_ahead(&mut self, now: Timestamp, zone: &TimeZone) {
        self.next_at = self.following(now, zone).filter(|at| self.plan.ending_at.is_none_or(|end| *at <= end));
    }

    fn following(&self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let start = self.plan.scheduled_at;
        if self.plan.repeats.is_empty() {
            return start.filter(|at| self.last_at.is_none_or(|last| last < *at));
        }
        let anchor = start.unwrap_or(self.inserted_at);
        // The start itself may be an occurrence.
        let before = start.map_or(now, |start| now.max(Timestamp::from_micros(start.as_micros() - 1)));
        self.plan.repeats.iter().filter_map(|rule| rule.next(before, anchor, zone)).min()
    }

    /// The occurrence that was next has come: it happened, or it was missed.
    pub fn pass(&mut self, now: Timestamp, happened: bool, zone: &TimeZone) {
        let Some(at) = self.next_at else { return };
        if happened || self.plan.repeats.is_empty() {
            self.last_at = Some(at);
        }
        self.look_ahead(now.max(at), zone);
    }

    /// The key that cancels what the schedule has triggered.
    pub fn cancellation_key(&self) -> String {
        format!("schedule:{}", self.id)
    }

    /// The wire form, with the people that it names.
    pub fn to_json(&self, recipient: &Recipient, actor: Option<&Recipient>) -> Value {
        json!({
            "__typename": "Schedule",
            "id": self.id,
            "workflow": self.workflow,
            "recipient": recipient.to_json(),
            "actor": actor.map(Recipient::to_json),
            "tenant": self.plan.tenant,
            "data": self.plan.data,
            "repeats": self.plan.repeats.iter().map(Repeat::to_json).collect::<Vec<_>>(),
            "scheduled_at": self.plan.scheduled_at,
            "ending_at": self.plan.ending_at,
            "next_occurrence_at": self.next_at,
            "last_occurrence_at": self.last_at,
            "inserted_at": self.inserted_at,
            "updated_at": self.updated_at,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_jiff(text.parse().unwrap())
    }

    fn schedule(repeats: Value, scheduled_at: Option<&str>, ending_at: Option<&str>) -> Schedule {
        let mut errors = Vec::new();
        let rules = repeats.as_array().unwrap().iter();
        let repeats = rules.filter_map(|rule| Repeat::from_json("r", rule, &mut errors)).collect();
        assert_eq!(errors, []);
        let inserted_at = at("2026-03-06T15:00:00Z");
        Schedule {
            id: ScheduleId::from([1; 16]),
            workflow: "w".into(),
            recipient: RecipientRef::user("u"),
            plan: Plan { repeats, scheduled_at: scheduled_at.map(at), ending_at: ending_at.map(at), ..Plan::default() },
            next_at: None,
            last_at: None,
            inserted_at,
            updated_at: inserted_at,
        }
    }

    /// The occurrences up to the fourth, each as it comes.
    fn occurrences(mut schedule: Schedule) -> Vec<String> {
        schedule.look_ahead(schedule.inserted_at, &TimeZone::UTC);
        let mut found = Vec::new();
        while let Some(next) = schedule.next_at.filter(|_| found.len() < 4) {
            found.push(next.to_jiff().to_string());
            schedule.pass(next, true, &TimeZone::UTC);
        }
        found
    }

    #[test]
    fn once_is_once_also_when_it_lies_in_the_past() {
        for time in ["2026-03-07T00:00:00Z", "2026-03-06T14:59:00Z"] {
            assert_eq!(occurrences(schedule(json!([]), Some(time), None)), [time]);
        }
        assert!(
            occurrences(schedule(json!([]), Some("2026-03-07T00:00:00Z"), Some("2026-03-06T23:00:00Z"))).is_empty()
        );
    }

    #[test]
    fn the_first_of_all_rules_comes_next_from_the_start_to_the_end() {
        let rules = json!([{"frequency": "daily", "hours": 9}, {"frequency": "weekly", "days": ["mon"], "hours": 8}]);
        let (start, end) = (Some("2026-03-08T09:00:00Z"), Some("2026-03-09T09:00:00Z"));
        let expected = ["2026-03-08T09:00:00Z", "2026-03-09T08:00:00Z", "2026-03-09T09:00:00Z"];
        assert_eq!(occurrences(schedule(rules, start, end)), expected);
    }

    #[test]
    fn what_is_missed_is_one_occurrence_however_many_there_were() {
        let mut daily = schedule(json!([{"frequency": "daily", "hours": 9}]), None, None);
        daily.look_ahead(daily.inserted_at, &TimeZone::UTC);
        daily.pass(at("2026-03-20T10:00:00Z"), false, &TimeZone::UTC);
        assert_eq!((daily.next_at, daily.last_at), (Some(at("2026-03-21T09:00:00Z")), None));
        let mut once = schedule(json!([]), Some("2026-03-07T00:00:00Z"), None);
        once.look_ahead(once.inserted_at, &TimeZone::UTC);
        once.pass(at("2026-03-20T10:00:00Z"), false, &TimeZone::UTC);
        assert_eq!(once.next_at, None);
    }

    proptest! {
        #[test]
        fn occurrences_ascend_and_keep_within_the_bounds(
            hours in prop::collection::vec(0i8..24, 1..4), start in 0i64..100, length in 0i64..200, late in 0i64..90
        ) {
            let rules: Vec<Value> = hours.iter().map(|hours| json!({"frequency": "daily", "hours": hours})).collect();
            let mut schedule = schedule(json!(rules), None, None);
            let hour = |hours: i64| Timestamp::from_millis(schedule.inserted_at.as_millis() + hours * 3_600_000);
            let (start, end) = (hour(start), hour(start + length));
            (schedule.plan.scheduled_at, schedule.plan.ending_at) = (Some(start), Some(end));
            schedule.look_ahead(schedule.inserted_at, &TimeZone::UTC);
            let mut last = None;
            while let Some(next) = schedule.next_at {
                prop_assert!(start <= next && next <= end && last < Some(next));
                last = Some(next);
                schedule.pass(next.plus(std::time::Duration::from_secs(late as u64 * 60)), true, &TimeZone::UTC);
                prop_assert_eq!(schedule.last_at, last);
            }
        }
    }
}
