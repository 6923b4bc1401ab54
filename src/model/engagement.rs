//! Engagement: what a reader did with a message. Its five stamps are independent of each other and of delivery.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::base::clock::Timestamp;

/// When each thing was done last; `None`: not done, or undone since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Engagement {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interacted_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_clicked_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archived_at: Option<Timestamp>,
    /// When the last action came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub updated_at: Option<Timestamp>,
    /// Actions so far; each is an event of the message, numbered by it.
    pub actions: u32,
}

/// What a reader, or a backend for a reader, does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Seen,
    Unseen,
    Read,
    Unread,
    Archived,
    Unarchived,
    Interacted,
    /// Followed a link: said by this server alone, when it leads somebody there.
    LinkClicked,
    /// Knock has no such event; its Node SDK can ask for it.
    Uninteracted,
}

impl Action {
    /// Those that clients can ask for.
    pub const OF_CLIENTS: [Self; 8] = [
        Self::Seen,
        Self::Unseen,
        Self::Read,
        Self::Unread,
        Self::Archived,
        Self::Unarchived,
        Self::Interacted,
        Self::Uninteracted,
    ];

    /// Every action.
    pub const ALL: [Self; 9] = [
        Self::Seen,
        Self::Unseen,
        Self::Read,
        Self::Unread,
        Self::Archived,
        Self::Unarchived,
        Self::Interacted,
        Self::Uninteracted,
        Self::LinkClicked,
    ];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Unseen => "unseen",
            Self::Read => "read",
            Self::Unread => "unread",
            Self::Archived => "archived",
            Self::Unarchived => "unarchived",
            Self::Interacted => "interacted",
            Self::LinkClicked => "link_clicked",
            Self::Uninteracted => "uninteracted",
        }
    }
}

/// One action on a message, kept for its history.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MessageEvent {
    pub action: Action,
    pub at: Timestamp,
    /// What the client said of it: which button was clicked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Map<String, Value>>,
}

impl Engagement {
    /// Takes `action` at `at`. Done again, it is stamped again.
    pub fn take(&mut self, action: Action, at: Timestamp) {
        match action {
            Action::Seen => self.seen_at = Some(at),
            Action::Unseen => self.seen_at = None,
            Action::Read => self.read_at = Some(at),
            Action::Unread => self.read_at = None,
            Action::Archived => self.archived_at = Some(at),
            Action::Unarchived => self.archived_at = None,
            // Knock's client lowers the unread count with it.
            Action::Interacted => (self.interacted_at, self.read_at) = (Some(at), Some(at)),
            Action::LinkClicked => self.link_clicked_at = Some(at),
            Action::Uninteracted => self.interacted_at = None,
        }
        self.updated_at = Some(at);
        self.actions += 1;
    }

    /// Whether `action` would leave every status as it is: at most a stamp would move.
    pub fn has_taken(&self, action: Action) -> bool {
        match action {
            Action::Seen => self.seen_at.is_some(),
            Action::Unseen => self.seen_at.is_none(),
            Action::Read => self.read_at.is_some(),
            Action::Unread => self.read_at.is_none(),
            Action::Archived => self.archived_at.is_some(),
            Action::Unarchived => self.archived_at.is_none(),
            Action::Interacted => self.interacted_at.is_some() && self.read_at.is_some(),
            Action::LinkClicked => self.link_clicked_at.is_some(),
            Action::Uninteracted => self.interacted_at.is_none(),
        }
    }

    /// `engagement_statuses` on the wire.
    pub fn statuses(&self) -> impl Iterator<Item = &'static str> + use<> {
        let stamps = [
            ("seen", self.seen_at),
            ("read", self.read_at),
            ("interacted", self.interacted_at),
            ("link_clicked", self.link_clicked_at),
            ("archived", self.archived_at),
        ];
        stamps.into_iter().filter(|(_, at)| at.is_some()).map(|(status, _)| status)
    }
}

/// Which messages, by what was done with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusFilter {
    All,
    Unread,
    Read,
    Unseen,
    Seen,
    Archived,
    Unarchived,
    LinkClicked,
    Interacted,
}

/// The statuses on the wire.
pub const STATUSES: [(&str, StatusFilter); 9] = [
    ("all", StatusFilter::All),
    ("unread", StatusFilter::Unread),
    ("read", StatusFilter::Read),
    ("unseen", StatusFilter::Unseen),
    ("seen", StatusFilter::Seen),
    ("archived", StatusFilter::Archived),
    ("unarchived", StatusFilter::Unarchived),
    ("link_clicked", StatusFilter::LinkClicked),
    ("interacted", StatusFilter::Interacted),
];

impl StatusFilter {
    /// Whether what was done with a message is asked for.
    pub fn covers(self, done: &Engagement) -> bool {
        match self {
            StatusFilter::All => true,
            StatusFilter::Unread => done.read_at.is_none(),
            StatusFilter::Read => done.read_at.is_some(),
            StatusFilter::Unseen => done.seen_at.is_none(),
            StatusFilter::Seen => done.seen_at.is_some(),
            StatusFilter::Archived => done.archived_at.is_some(),
            StatusFilter::Unarchived => done.archived_at.is_none(),
            StatusFilter::LinkClicked => done.link_clicked_at.is_some(),
            StatusFilter::Interacted => done.interacted_at.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn actions() -> impl Strategy<Value = Vec<(Action, Timestamp)>> {
        let at = (0i64..1_000).prop_map(Timestamp::from_millis);
        prop::collection::vec((prop::sample::select(&Action::ALL[..]), at), 0..20)
    }

    fn after(actions: &[(Action, Timestamp)]) -> Engagement {
        let mut engagement = Engagement::default();
        actions.iter().for_each(|(action, at)| engagement.take(*action, *at));
        engagement
    }

    proptest! {
        #[test]
        fn each_stamp_is_that_of_the_last_action_that_is_about_it(actions in actions()) {
            let engagement = after(&actions);
            let last = |sets: &[Action], clears: Action| {
                let (action, at) = actions.iter().rev().find(|(one, _)| sets.contains(one) || *one == clears)?;
                (*action != clears).then_some(*at)
            };
            prop_assert_eq!(engagement.seen_at, last(&[Action::Seen], Action::Unseen));
            prop_assert_eq!(engagement.read_at, last(&[Action::Read, Action::Interacted], Action::Unread));
            prop_assert_eq!(engagement.archived_at, last(&[Action::Archived], Action::Unarchived));
            prop_assert_eq!(engagement.interacted_at, last(&[Action::Interacted], Action::Uninteracted));
            let clicked = actions.iter().rev().find(|(one, _)| *one == Action::LinkClicked).map(|(_, at)| *at);
            prop_assert_eq!(engagement.link_clicked_at, clicked);
            prop_assert_eq!(engagement.updated_at, actions.last().map(|(_, at)| *at));
            prop_assert_eq!(engagement.actions as usize, actions.len());
        }

        #[test]
        fn what_was_taken_changes_no_status_when_taken_again(actions in actions(), action in prop::sample::select(&Action::ALL[..])) {
            let mut engagement = after(&actions);
            let (taken, before) = (engagement.has_taken(action), engagement.statuses());
            engagement.take(action, Timestamp::from_millis(2_000));
            prop_assert_eq!(taken, engagement.statuses().eq(before));
            prop_assert!(engagement.has_taken(action));
        }
    }
}
