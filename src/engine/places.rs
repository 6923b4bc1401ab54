//! How many runs work at once, and how many of one flow. A flow that has the server for itself may have all places. When
//! others have had runs of late it has a share: whoever comes next finds no more than that before it, however many runs
//! of that flow wait.

use std::collections::HashMap;
use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::model::flow::Flow;

/// The places of one flow among others. At half a millisecond of work for a run that sends an email, whoever comes next
/// waits 16 ms for them; and so many fill a commit well.
pub const SHARE: usize = 32;
/// So long after its last run began a flow still counts: one that has a run a minute must not find the server taken.
const OF_LATE: Duration = Duration::from_secs(3_600);

/// The places.
pub struct Places {
    most: usize,
    taken: usize,
    of: HashMap<Flow, usize>,
    /// The flow whose run began last, and the last one before it that was another.
    latest: [Option<(Flow, Timestamp)>; 2],
}

impl Places {
    /// So many, all of them free.
    pub fn new(most: usize) -> Self {
        Self { most, taken: 0, of: HashMap::new(), latest: [None; 2] }
    }

    /// Whether there are free ones. Then few flows can have their whole share: it is cheap to look for one that has not.
    pub fn are_left(&self) -> bool {
        self.taken < self.most
    }

    /// Whether a run of `flow` may begin at `now`.
    pub fn are_free(&self, flow: Flow, now: Timestamp) -> bool {
        let other = self.latest.iter().flatten().find(|(other, _)| *other != flow);
        let is_alone = other.is_none_or(|(_, began)| began.plus(OF_LATE) < now);
        self.are_left() && (is_alone || self.of.get(&flow).is_none_or(|taken| *taken < SHARE))
    }

    /// A run of `flow` begins at `now`.
    pub fn begin(&mut self, flow: Flow, now: Timestamp) {
        self.take(flow);
        match &mut self.latest {
            [Some((latest, began)), _] if *latest == flow => *began = now,
            [latest, before] => *before = latest.replace((flow, now)),
        }
    }

    /// A run that has begun takes a place again.
    pub fn take(&mut self, flow: Flow) {
        self.taken += 1;
        *self.of.entry(flow).or_default() += 1;
    }

    /// A run rests, or has ended.
    pub fn leave(&mut self, flow: Flow) {
        self.taken -= 1;
        if let Some(taken) = self.of.get_mut(&flow) {
            *taken -= 1;
            if *taken == 0 {
                self.of.remove(&flow);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOUD: Flow = Flow(1);
    const QUIET: Flow = Flow(2);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_800_000_000_000 + seconds * 1_000)
    }

    /// Begins as many runs of a flow as may begin; answers how many.
    fn fill(places: &mut Places, flow: Flow, now: Timestamp) -> usize {
        let mut begun = 0;
        while places.are_free(flow, now) {
            places.begin(flow, now);
            begun += 1;
        }
        begun
    }

    #[test]
    fn a_flow_has_all_places_while_it_is_alone_and_a_share_of_them_while_others_are_about() {
        let mut places = Places::new(1_000);
        assert_eq!(fill(&mut places, LOUD, at(0)), 1_000);
        assert!(!places.are_free(QUIET, at(0)), "there are no more");
        places.leave(LOUD);
        places.begin(QUIET, at(1));
        places.leave(QUIET);
        (0..960).for_each(|_| places.leave(LOUD));
        assert!(!places.are_free(LOUD, at(60)), "it has more than its share");
        assert_eq!(fill(&mut places, QUIET, at(60)), SHARE);
        (0..39).for_each(|_| places.leave(LOUD));
        assert_eq!(fill(&mut places, LOUD, at(60)), SHARE);
        (0..SHARE).for_each(|_| places.leave(QUIET));
        assert!(!places.are_free(LOUD, at(3_600)));
        assert_eq!(fill(&mut places, LOUD, at(3_700)), 1_000 - SHARE, "nobody else has been there for an hour");
    }

    #[test]
    fn many_flows_share_what_there_is() {
        let mut places = Places::new(100);
        let begun: Vec<usize> = (0..5).map(|flow| fill(&mut places, Flow(flow), at(0))).collect();
        assert_eq!(begun.iter().sum::<usize>(), 100);
        (0..begun[0]).for_each(|_| places.leave(Flow(0)));
        assert_eq!(fill(&mut places, Flow(4), at(1)), SHARE);
    }
}
