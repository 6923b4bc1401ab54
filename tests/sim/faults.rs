//! The store alone on a disk that fails: each operation of the disk in turn, in each way that a disk has; the power cut
//! before each of them; and cut again while the file is opened after that. What was answered is there, nothing is half
//! there, and the file opens and goes on.
//!
//! `cargo test --test sim -- --scripts 50 the_file_opens` tries that many scripts instead of one.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use belfry::base::clock::Timestamp;
use belfry::base::ids::TriggerId;
use belfry::model::profile::Profile;
use belfry::model::recipient::RecipientRef;
use belfry::store::codec::{decode, unseal};
use belfry::store::op::{Done, Identify, Op};
use belfry::store::writer::gather;
use belfry::store::{OpenError, Store, StoreError};
use futures_util::FutureExt;
use redb::{ReadableDatabase, ReadableTable, StorageBackend, TableDefinition, TableHandle};
use serde::de::IgnoredAny;

use crate::disk::{Backend, Crash, Disk, Entry, Fault};
use crate::figures::{self, Row, row};
use crate::op_script::OpScript;
use crate::rng::Rng;
use crate::world::Flaw;

/// All records by table and key.
type Content = BTreeMap<(String, Vec<u8>), Vec<u8>>;

type Answer = Result<Done, StoreError>;

/// A script, and what comes of it on a disk that does not fail.
struct Course {
    script: OpScript,
    /// An empty store.
    base: Disk,
    answers: Vec<Answer>,
    /// What is stored after that many ops.
    contents: Vec<Content>,
    tape: Vec<Entry>,
}

impl Course {
    fn of(seed: u64) -> Self {
        let base = Disk::new(false);
        Store::serve_on(base.plug()).unwrap().close();
        base.settle();
        let script = OpScript::of(seed);
        let disk = base.fork();
        let store = Store::serve_on(disk.plug()).unwrap();
        let (mut answers, mut contents) = (Vec::new(), vec![content(&disk.fork(), &script.triggers).unwrap()]);
        for op in &script.ops {
            answers.extend(send(&store, std::slice::from_ref(op)));
            contents.push(content(&disk.fork(), &script.triggers).unwrap());
        }
        store.close();
        let mut course = Self { script, base, answers, contents, tape: Vec::new() };
        let disk = course.base.fork();
        disk.record();
        let played = course.play(&disk, 0).unwrap();
        assert_eq!((played.answered, played.failed), (course.script.ops.len(), false));
        course.tape = disk.tape();
        assert!(course.tape.iter().any(|entry| matches!(entry, Entry::SetLen(_))), "the file never grew");
        course
    }

    /// Sends the script's ops from number `from` on, to stores on `disk`.
    fn play(&self, disk: &Disk, from: usize) -> Result<Played, String> {
        let mut played = Played { sent: from, answered: from, failed: false };
        let Ok(mut store) = Store::serve_on(disk.plug()) else { return Ok(Played { failed: true, ..played }) };
        for turn in &self.script.turns {
            if turn.end <= played.sent {
                continue;
            }
            let ops = &self.script.ops[played.sent..turn.end];
            let first = std::mem::replace(&mut played.sent, turn.end);
            disk.note(Entry::Sent(played.sent));
            for (number, answer) in (first..).zip(send(&store, ops)) {
                match answer {
                    Err(StoreError::Failed(_) | StoreError::Closed) => played.failed = true,
                    answer if played.failed => {
                        return Err(format!("op {number} was answered {answer:?} after a failure"));
                    }
                    answer if answer != self.answers[number] => {
                        return Err(format!("op {number} was answered {answer:?}"));
                    }
                    _ => played.answered += 1,
                }
            }
            disk.note(Entry::Answered(played.answered));
            if played.failed {
                stays_failed(disk, &store, &self.script.ops[0])?;
                // The process ends here, before it could close anything.
                disk.crash(Crash::Kill, 0);
                store.close();
                return Ok(played);
            }
            if turn.restart {
                store.close();
                match Store::serve_on(disk.plug()) {
                    Ok(opened) => store = opened,
                    Err(_) => return Ok(Played { failed: true, ..played }),
                }
            }
        }
        store.close();
        Ok(played)
    }

    /// Opens what `disk` holds, which must be what there was after one of the numbers of ops that `allowed` says.
    fn verify(&self, disk: &Disk, allowed: RangeInclusive<usize>) -> Result<usize, String> {
        let found = content(disk, &self.script.triggers).map_err(|error| format!("it does not open: {error}"))?;
        let after = allowed.clone().find(|ops| self.contents[*ops] == found);
        after.ok_or_else(|| match self.contents.iter().position(|content| *content == found) {
            Some(ops) => format!("it holds the first {ops} ops, not {allowed:?}"),
            None => format!("it holds a part of an op; {allowed:?} were possible"),
        })
    }

    /// The rest of the script on `disk`, which holds that many ops.
    fn go_on(&self, disk: &Disk, from: usize) -> Result<(), String> {
        let played = self.play(disk, from)?;
        let found = content(disk, &self.script.triggers).map_err(|error| error.to_string())?;
        if !played.failed && Some(&found) == self.contents.last() {
            Ok(())
        } else {
            Err("it opened and does not go on".into())
        }
    }

    /// Plays with a disk whose operation number `at` fails, then ends the process or the machine. Answers whether there
    /// was such an operation.
    fn fail(&self, at: u64, fault: Fault) -> Result<bool, String> {
        let disk = self.base.fork();
        disk.fail_after(at, fault);
        let played = self.play(&disk, 0)?;
        if !disk.has_failed() {
            return Ok(false);
        }
        // Each operation meets both among the faults.
        let crash = if (at + fault as u64).is_multiple_of(2) { Crash::Kill } else { Crash::PowerCut };
        let wrong = |wrong| format!("after {fault:?} at {at} and {crash:?}: {wrong}");
        disk.crash(crash, at);
        let ops = self.verify(&disk, played.answered..=played.sent).map_err(wrong)?;
        if at.is_multiple_of(4) {
            self.go_on(&disk, ops).map_err(wrong)?;
        }
        Ok(true)
    }

    /// Cuts the power before every operation of the tape, `times` each, every other time again while the file is being
    /// opened. `share` of `shares` is this call's.
    fn cut(&self, disk: &Disk, times: u64, early: bool, (share, shares): (usize, usize)) -> Result<Cuts, String> {
        let backend = disk.plug();
        let (mut sent, mut answered, mut cuts) = (0, 0, Cuts::default());
        for (index, entry) in self.tape.iter().enumerate() {
            match entry {
                Entry::Sent(ops) => sent = *ops,
                Entry::Answered(ops) => answered = *ops,
                change => apply(&backend, change),
            }
            if index % shares != share {
                continue;
            }
            for time in 0..times {
                let mut rng = Rng::of(index as u64, "cut", time);
                let machine = disk.fork();
                machine.crash(Crash::PowerCut, rng.next());
                cuts.first += 1;
                if time % 2 == 1 {
                    let at = rng.below(24);
                    machine.stop_after(Some(at));
                    drop(Store::serve_on(machine.plug()).map(|store| store.close()));
                    cuts.again += u64::from(machine.has_stopped());
                    machine.crash(Crash::PowerCut, rng.next());
                }
                let least = if early { sent } else { answered };
                let verified = self.verify(&machine, least..=sent);
                verified.map_err(|wrong| format!("cut {time} at entry {index}: {wrong}"))?;
            }
        }
        Ok(cuts)
    }
}

struct Played {
    sent: usize,
    /// All before the first that failed.
    answered: usize,
    failed: bool,
}

#[derive(Default)]
struct Cuts {
    first: u64,
    /// Those that were followed by another in the middle of the recovery.
    again: u64,
}

/// A store whose disk has failed says so, answers nothing more, and touches the disk no more.
fn stays_failed(disk: &Disk, store: &Store, op: &Op) -> Result<(), String> {
    // Its thread says so before it ends.
    while store.failure().is_none() {
        std::thread::yield_now();
    }
    let before = disk.operations();
    let answers = send(store, std::slice::from_ref(op));
    let refused = matches!(answers[..], [Err(StoreError::Failed(_) | StoreError::Closed)]);
    if refused && disk.operations() == before { Ok(()) } else { Err(format!("it went on: {answers:?}")) }
}

/// Sends ops at once; their answers in order.
fn send(store: &Store, ops: &[Op]) -> Vec<Answer> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(futures_util::future::join_all(ops.iter().map(|op| store.submit(op.clone()))))
}

fn apply(backend: &Backend, entry: &Entry) {
    let done = match entry {
        Entry::Write(offset, data) => backend.write(*offset, data),
        Entry::SetLen(len) => backend.set_len(*len),
        Entry::Sync => backend.sync_data(),
        Entry::Sent(_) | Entry::Answered(_) => Ok(()),
    };
    done.unwrap();
}

/// What a store on `disk` holds. `triggers` are asked for by their ids, since it depends on the commits how they lie
/// there.
fn content(disk: &Disk, triggers: &[TriggerId]) -> Result<Content, OpenError> {
    let store = Store::serve_on(disk.plug())?;
    let reader = store.read().unwrap();
    let mut content = Content::new();
    for id in triggers {
        let found = reader.trigger(*id).map_err(|error| OpenError::Unreadable(PathBuf::new(), error.to_string()))?;
        let of = |trigger| (("triggers".to_owned(), id.as_bytes().to_vec()), serde_json::to_vec(&trigger).unwrap());
        content.extend(found.map(of));
    }
    drop(reader);
    store.close();
    let database = redb::Database::builder().create_with_backend(disk.plug()).unwrap();
    let reader = database.begin_read().unwrap();
    for table in reader.list_tables().unwrap().filter(|table| table.name() != "triggers") {
        let name = table.name().to_owned();
        let table = reader.open_table(TableDefinition::<&[u8], &[u8]>::new(&name)).unwrap();
        for entry in table.iter().unwrap() {
            let (key, value) = entry.unwrap();
            content.insert((name.clone(), key.value().to_vec()), value.value().to_vec());
        }
    }
    Ok(content)
}

/// Calls `part` with 0 and 1 on a thread each.
fn halves<T: Send>(part: impl Fn(usize) -> T + Sync) -> [T; 2] {
    std::thread::scope(|scope| {
        let other = scope.spawn(|| part(1));
        [part(0), other.join().unwrap()]
    })
}

fn publish<const N: usize>(section: &str, scripts: u64, rows: [Row; N]) {
    figures::publish(section, &format!("cargo test --test sim -- --scripts {scripts} the_file_opens"), &rows, "");
}

/// Checks that each record that is found is as it was written, or tells of its damage.
fn nothing_else_is_read(found: &Content, whole: &Content) -> bool {
    let read = |table: &str, key: &[u8], record: &[u8]| unseal(table, key, record).and_then(decode::<IgnoredAny>);
    found.iter().all(|(place, record)| whole.get(place) == Some(record) || read(&place.0, &place.1, record).is_err())
}

/// Fails every operation of the disk in turn; answers how many.
fn fail_each(course: &Course, fault: Fault) -> Result<u64, String> {
    let tried = halves(|half| {
        let mut tried = 0;
        while course.fail(2 * tried + half as u64, fault)? {
            tried += 1;
        }
        Ok::<_, String>(tried)
    });
    tried.into_iter().sum()
}

/// Cuts the power everywhere, with a flaw for the checker to find or without.
fn cut_each(course: &Course, flaw: Option<Flaw>) -> Result<Cuts, String> {
    let early = flaw == Some(Flaw::AnsweredEarly);
    let [one, other] = halves(|half| {
        let disk = course.base.fork();
        if flaw == Some(Flaw::DeafDisk) {
            disk.deafen();
        }
        course.cut(&disk, 4, early, (half, 2))
    });
    let (one, other) = (one?, other?);
    Ok(Cuts { first: one.first + other.first, again: one.again + other.again })
}

pub fn whatever_operation_of_the_disk_fails_what_was_answered_is_there_and_the_file_opens(scripts: u64) {
    let mut tried = 0;
    for seed in 0..scripts {
        let course = Course::of(seed);
        for fault in [Fault::Stops, Fault::Tears, Fault::Once, Fault::Forgets, Fault::Full] {
            tried += fail_each(&course, fault).unwrap_or_else(|wrong| panic!("script {seed}: {wrong}"));
        }
    }
    assert!(tried > 1_000, "too few operations of the disk failed");
    publish(
        "faults",
        scripts,
        [row(
            "an operation of the disk that fails: an answered op lost, half an op, a file that does not open",
            tried as usize,
        )],
    );
}

pub fn wherever_the_power_is_cut_what_was_answered_is_there_and_the_file_opens(scripts: u64) {
    let mut all = Cuts::default();
    for seed in 0..scripts {
        let cuts = cut_each(&Course::of(seed), None).unwrap_or_else(|wrong| panic!("script {seed}: {wrong}"));
        all = Cuts { first: all.first + cuts.first, again: all.again + cuts.again };
    }
    assert!(all.again > 100, "too few cuts came during recovery");
    publish(
        "cuts",
        scripts,
        [
            row("a power cut: an answered op lost, half an op, a file that does not open", all.first as usize),
            row("and another one in the middle of its recovery", all.again as usize),
        ],
    );
}

pub fn a_full_queue_refuses_at_once_and_what_it_refused_is_not_done() {
    let disk = Disk::new(false);
    let (store, mut committer, queue) = Store::open_on(disk.plug()).unwrap();
    let identify = |number: usize| {
        let people = vec![(RecipientRef::user(format!("u{number}")), Profile::default())];
        Op::Identify(Identify { people, at: Timestamp::from_millis(1), bytes: 0 })
    };
    // Nobody takes anything out of the queue yet.
    let mut waiting = Vec::new();
    let refused = loop {
        let mut call = Box::pin(store.try_submit(identify(waiting.len())));
        match call.as_mut().now_or_never() {
            None => waiting.push(call),
            Some(answer) => break answer,
        }
        assert!(waiting.len() < 20_000, "the queue has no end");
    };
    assert_eq!(refused, Err(StoreError::Overloaded));
    while let Ok(first) = queue.try_recv() {
        committer.commit(gather(first, &queue)).unwrap();
    }
    let taken = waiting.len();
    assert!(waiting.into_iter().all(|call| matches!(call.now_or_never(), Some(Ok(_)))));
    let there = |number| store.read().unwrap().recipient(&RecipientRef::user(format!("u{number}"))).unwrap().is_some();
    assert!(there(0) && there(taken - 1) && !there(taken));
    assert!(store.try_submit(identify(taken)).now_or_never().is_none(), "there is room again");
}

/// Whether a flaw of the store alone is noticed where the power is cut.
pub fn notices(flaw: Flaw) -> bool {
    cut_each(&Course::of(0), Some(flaw)).is_err()
}

/// Flips a bit of `disk` at `at`; answers what a store on it holds then. An error or a panic is a refusal.
fn flipped(disk: &Disk, at: u64, triggers: &[TriggerId]) -> Option<Content> {
    let damaged = disk.fork();
    let (backend, mut byte) = (damaged.plug(), [0]);
    backend.read(at, &mut byte).unwrap();
    backend.write(at, &[byte[0] ^ 0x40]).unwrap();
    std::panic::catch_unwind(|| content(&damaged, triggers).ok()).ok().flatten()
}

pub fn a_damaged_file_is_never_taken_for_an_empty_one_nor_read_as_something_else() {
    let course = Course::of(0);
    let disk = course.base.fork();
    course.play(&disk, 0).unwrap();
    let (whole, triggers) = (course.contents.last().unwrap(), &course.script.triggers);
    let others = |content: &Content| content.keys().filter(|(table, _)| table != "triggers").count();
    let len = disk.fork().plug().len().unwrap();
    let (mut refused, mut tried) = (0, 0);
    // The header's fields byte by byte; of each page some.
    let mut told = 0;
    for at in (0..512).chain((512..len).step_by(997)) {
        tried += 1;
        match flipped(&disk, at, triggers) {
            None => refused += 1,
            Some(found) => {
                // Of one record at most nothing is found; the triggers of a commit are one.
                assert!(others(&found) + 2 > others(whole), "byte {at}: {} of {}", others(&found), others(whole));
                assert!(2 * found.len() > whole.len(), "byte {at}: {} of {}", found.len(), whole.len());
                assert!(nothing_else_is_read(&found, whole), "byte {at} is read as something else");
                told += usize::from(found != *whole);
            }
        }
    }
    assert!(refused > 100 && told > 10);
    println!("{refused} of {tried} flipped bytes were noticed at once, {told} when a record was read");
    let rows = [row("a flipped bit: a file that is taken for an empty one, a record that is read as another", tried)];
    figures::publish("damage", "cargo test --test sim a_damaged_file", &rows, "");
    for keep in [len - 1, len / 2, 4_096, 511, 1] {
        let cut = disk.fork();
        cut.plug().set_len(keep).unwrap();
        assert!(Store::serve_on(cut.plug()).is_err(), "cut to {keep} bytes");
    }
}
