//! How a trigger spreads to the subscribers of its objects: in portions, each one commit with the runs that it makes and
//! the place that it came to, so that a crash neither loses nor repeats anybody. Depth 2: the subscribers of an object,
//! and those of its subscribers that are objects themselves.

use std::sync::Arc;

use super::catalog::VersionError;
use super::{Engine, plan};
use crate::base::deps::Panicked;
use crate::base::ids::{RunId, TriggerId};
use crate::model::flow::Flow;
use crate::model::recipient::{RecipientRef, USERS};
use crate::model::run::Run;
use crate::model::subscription::{FanOut, Place};
use crate::model::trigger::Trigger;
use crate::store::op::{Admission, Spread};
use crate::store::{Reader, Store, StoreError};

/// Subscribers of one write: half a block of run ids, and 10 ms of the writer.
pub const PORTION: usize = 500;
/// Nested objects that one portion looks into: those without subscribers make no runs, and must not hold a snapshot long.
const LOOKED_INTO: usize = 1_000;

/// Why a fan-out rests until the next start.
#[derive(Debug, thiserror::Error)]
pub enum FanOutError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Version(#[from] VersionError),
    #[error(transparent)]
    Panicked(#[from] Panicked),
    #[error("its trigger is not stored")]
    NoTrigger,
}

/// Whom a portion reaches, each with the object that it subscribes to, and the fan-out once they are.
struct Portion {
    to: Vec<(RecipientRef, RecipientRef)>,
    next: FanOut,
}

/// The objects among `recipients` that have subscribers.
pub fn spreading<'a>(
    store: &Store,
    recipients: impl Iterator<Item = &'a RecipientRef>,
) -> Result<Vec<RecipientRef>, StoreError> {
    let mut objects: Vec<_> = recipients.filter(|recipient| !recipient.is_user()).cloned().collect();
    // Most triggers name users alone, and need no snapshot.
    if let [_, ..] = objects.as_slice() {
        let reader = store.read()?;
        let mut spread = Vec::with_capacity(objects.len());
        for object in objects {
            if !reader.subscribers(&object, None, 1)?.is_empty() {
                spread.push(object);
            }
        }
        objects = spread;
    }
    Ok(objects)
}

/// Goes on with the fan-out of `trigger` to its end.
pub async fn run(engine: Arc<Engine>, trigger: TriggerId) -> Result<(), FanOutError> {
    let stored = engine.store.read()?.fan_out(trigger)?;
    let Some(mut fan_out) = stored else { return Ok(()) };
    let trigger = engine.store.read()?.trigger(trigger)?.ok_or(FanOutError::NoTrigger)?;
    let published = engine.catalog.version(&engine.store, trigger.version)?;
    while !fan_out.objects.is_empty() {
        let work = engine.deps.work.begin();
        let (store, actor, from) = (engine.store.clone(), trigger.actor.clone(), fan_out);
        let most = engine.spread_at_once;
        let read = move || portion(&store.read()?, from, actor.as_ref(), most);
        let Portion { to, next } = engine.deps.offload.run(read).await??;
        let now = engine.deps.clock.now();
        let beginning = plan::begin(&published.workflow, trigger.settings, now);
        let like = like(&trigger, &next, beginning);
        let (due, flow) = (like.phase.due(), like.flow);
        let admission = Admission { runs: Vec::new(), due, cancel: next.cancel, flow, fan_out: None, work };
        let block = engine.deps.ids.next_block(now);
        fan_out = engine.store.spread(Spread { fan_out: next, to, like, block }, admission).await?;
    }
    let _work = engine.deps.work.begin();
    while !engine.store.clear_fan_out(trigger.id).await? {}
    Ok(())
}

/// What all runs of a portion have in common.
fn like(trigger: &Trigger, fan_out: &FanOut, beginning: plan::Beginning) -> Run {
    Run {
        id: RunId::from([0; 16]),
        trigger: trigger.id,
        flow: Flow::of(&trigger.workflow, trigger.tenant.as_deref()),
        recipient: RecipientRef::user(""),
        data: None,
        via: None,
        cancel: fan_out.cancel,
        revision: 0,
        phase: beginning.phase,
        begun: beginning.begun,
    }
}

/// The next portion, of at most `most` subscribers. Who acts is not told of it by a subscription.
fn portion(
    reader: &Reader,
    mut fan_out: FanOut,
    actor: Option<&RecipientRef>,
    most: usize,
) -> Result<Portion, StoreError> {
    let (mut to, mut looked_into) = (Vec::new(), 0);
    while let Some(object) = fan_out.objects.first().filter(|_| to.len() < most && looked_into < LOOKED_INTO) {
        looked_into += 1;
        let room = most - to.len();
        let mut tell = |object: &RecipientRef, after: Option<&[u8]>| -> Result<Option<Vec<u8>>, StoreError> {
            let found = reader.subscribers(object, after, room)?;
            let last = found.last().filter(|_| found.len() == room).map(RecipientRef::key);
            let told = found.into_iter().filter(|one| Some(one) != actor);
            to.extend(told.map(|one| (one, object.clone())));
            Ok(last)
        };
        fan_out.place = match fan_out.place {
            Place::Subscribers { after } => match tell(object, after.as_deref())? {
                after @ Some(_) => Place::Subscribers { after },
                None => Place::Nested { child: Vec::new(), after: None },
            },
            Place::Nested { child, after: Some(after) } => {
                let nested = RecipientRef::from_key(&child).ok_or_else(damaged)?;
                let after = tell(&nested, Some(&after).filter(|after| !after.is_empty()).map(Vec::as_slice))?;
                Place::Nested { child, after }
            }
            Place::Nested { child, after: None } => match next_object(reader, object, &child)? {
                // From its first subscriber on.
                Some(next) => Place::Nested { child: next.key(), after: Some(Vec::new()) },
                None => {
                    fan_out.objects.remove(0);
                    Place::START
                }
            },
        };
    }
    Ok(Portion { to, next: fan_out })
}

/// The first subscriber of `object` behind the key `child` that is an object; users lie together, and are leapt over.
fn next_object(reader: &Reader, object: &RecipientRef, child: &[u8]) -> Result<Option<RecipientRef>, StoreError> {
    let next = |after: &[u8]| Ok::<_, StoreError>(reader.subscribers(object, Some(after), 1)?.pop());
    match next(child)? {
        Some(user) if user.is_user() => next(&[USERS.as_bytes(), &[1]].concat()),
        found => Ok(found),
    }
}

fn damaged() -> StoreError {
    StoreError::damaged("the place of a fan-out cannot be read")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::base::clock::Timestamp;
    use crate::base::ids::VersionId;
    use crate::base::work::Work;
    use crate::model::run::Phase;
    use crate::model::subscription::Spared;
    use crate::model::trigger::CancelHash;
    use crate::model::trigger::TriggerSettings;
    use crate::store::Settings;
    use crate::store::op::{Accept, Cancel, Subscribe, Wanted};

    const TRIGGER: [u8; 16] = [7; 16];
    const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);

    /// Users are even, objects odd; some objects sort before the users.
    fn one(number: u8) -> RecipientRef {
        let collection = ["$users", "docs", "$users", "!lists"][usize::from(number % 4)];
        RecipientRef { collection: collection.into(), id: number.to_string() }
    }

    /// Everybody that the objects' subscribers are, to depth 2.
    fn expected(pairs: &BTreeSet<(RecipientRef, RecipientRef)>, objects: &[RecipientRef]) -> BTreeSet<RecipientRef> {
        let of = |object: &RecipientRef| -> Vec<_> {
            pairs.iter().filter(|(from, _)| from == object).map(|(_, to)| to.clone()).collect()
        };
        let direct: BTreeSet<_> = objects.iter().flat_map(of).collect();
        let nested = direct.iter().filter(|one| !one.is_user()).flat_map(of);
        direct.iter().cloned().chain(nested).collect()
    }

    fn alike(trigger: TriggerId) -> Run {
        Run {
            id: RunId::from([0; 16]),
            trigger,
            flow: Flow::default(),
            recipient: RecipientRef::user(""),
            data: None,
            via: None,
            cancel: None,
            revision: 0,
            phase: Phase::Ready { step: 0 },
            begun: None,
        }
    }

    fn admission() -> Admission {
        let work = Work::default().begin();
        Admission { runs: Vec::new(), due: None, cancel: None, flow: Flow::default(), fan_out: None, work }
    }

    struct World {
        store: Store,
        fan_out: FanOut,
        _folder: tempfile::TempDir,
    }

    impl World {
        async fn new(pairs: &BTreeSet<(RecipientRef, RecipientRef)>, explicit: &[RecipientRef]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(folder.path(), Settings::default()).unwrap();
            let wanted = pairs.iter().map(|(object, recipient)| Wanted {
                object: object.clone(),
                recipient: recipient.clone(),
                properties: None,
            });
            let wanted = wanted.collect();
            store.subscribe(Subscribe { wanted, people: Vec::new(), at: START, bytes: 0 }).await.unwrap();
            let objects = spreading(&store, explicit.iter()).unwrap();
            let (trigger, place) = (TriggerId::from(TRIGGER), Place::START);
            let fan_out = FanOut { trigger, cancel: None, objects, place, revision: 0, cancelled: Spared::Nobody };
            let runs = (0..).zip(explicit).map(|(number, recipient)| {
                let id = RunId::in_block(uuid::Uuid::nil(), number);
                Run { id, recipient: recipient.clone(), ..alike(trigger) }
            });
            let accept = Accept {
                trigger: Trigger {
                    id: trigger,
                    workflow: "w".into(),
                    version: VersionId::from([1; 16]),
                    data: serde_json::Map::new(),
                    actor: None,
                    tenant: None,
                    cancellation_key: None,
                    settings: TriggerSettings::default(),
                    schedule: None,
                    parent: None,
                    inserted_at: START,
                },
                runs: runs.collect(),
                identify: Vec::new(),
                idempotency: None,
                fan_out: Some(fan_out.clone()),
                bytes: 0,
            };
            store.accept(accept, admission()).await.unwrap();
            Self { store, fan_out, _folder: folder }
        }

        /// Writes the next portion; answers whether there was one.
        async fn spread(&mut self, most: usize, actor: Option<&RecipientRef>, number: u128) -> bool {
            if self.fan_out.objects.is_empty() {
                return false;
            }
            let Portion { to, next } = portion(&self.store.read().unwrap(), self.fan_out.clone(), actor, most).unwrap();
            assert!(to.len() <= most);
            let like = alike(next.trigger);
            let spread = Spread { fan_out: next, to, like, block: uuid::Uuid::from_u128(number << 10) };
            self.fan_out = self.store.spread(spread, admission()).await.unwrap();
            true
        }

        fn reached(&self) -> Vec<RecipientRef> {
            let mut found = Vec::new();
            self.store.read().unwrap().each_run(|run| found.push(run.recipient)).unwrap();
            found.sort();
            found
        }
    }

    fn graph() -> impl Strategy<Value = BTreeSet<(RecipientRef, RecipientRef)>> {
        let pair = (0u8..6, 0u8..24).prop_map(|(object, recipient)| (one(object * 2 + 1), one(recipient)));
        prop::collection::btree_set(pair, 0..60)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn everybody_is_reached_once_in_portions_of_any_size_and_never_the_actor(
            pairs in graph(), explicit in prop::collection::btree_set(0u8..12, 1..4), most in 1usize..9, actor in 0u8..24
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let explicit: Vec<RecipientRef> = explicit.into_iter().map(one).collect();
            let actor = one(actor);
            let found = runtime.block_on(async {
                let mut world = World::new(&pairs, &explicit).await;
                let mut number = 1;
                while world.spread(most, Some(&actor), number).await {
                    number += 1;
                }
                let reached = world.reached();
                while !world.store.clear_fan_out(world.fan_out.trigger).await.unwrap() {}
                assert_eq!(world.store.read().unwrap().fan_outs().unwrap(), []);
                reached
            });
            let mut expected = expected(&pairs, &explicit);
            expected.remove(&actor);
            expected.extend(explicit);
            prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
        }
    }

    #[tokio::test]
    async fn whom_a_cancel_names_in_the_middle_is_not_reached_any_more() {
        let pairs = (0..12).map(|number| (one(1), one(number * 2))).collect();
        for named in [Some(vec![one(20)]), None] {
            let mut world = World::new(&pairs, &[one(1)]).await;
            assert!(world.spread(3, None, 1).await);
            let before = world.reached().len();
            let spreading = vec![world.fan_out.trigger];
            let key = CancelHash([0; 16]);
            let cancel = Cancel { key, runs: Vec::new(), recipients: named.clone(), of: None, spreading, at: START };
            world.store.cancel(cancel).await.unwrap();
            for number in 2..20 {
                world.spread(3, None, number).await;
            }
            assert!(world.fan_out.objects.is_empty());
            let reached = world.reached();
            match named {
                Some(named) => assert!(reached.len() == 12 && !reached.contains(&named[0]), "{reached:?}"),
                None => assert_eq!(reached.len(), before),
            }
        }
    }
}
