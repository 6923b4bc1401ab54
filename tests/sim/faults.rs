//! The store alone on a disk that fails: each operation of the disk in turn, in each way that a disk has; the power cut
//! before each of them; and cut again while the file is opened after that. What was answered is there, nothing is half
//! there, and the file opens and goes on.
//!
//! `BELFRY_FAULT_ROUNDS=50 cargo test --test sim faults` tries that many scripts instead of one.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use belfry::store::op::{Done, Op};
use belfry::store::{Store, StoreError};
use redb::{ReadableDatabase, ReadableTable, StorageBackend, TableDefinition, TableHandle};

use crate::disk::{Backend, Crash, Disk, Entry, Fault};
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
        let (mut answers, mut contents) = (Vec::new(), vec![content(&disk.fork())]);
        for op in &script.ops {
            answers.extend(send(&store, std::slice::from_ref(op)));
            contents.push(content(&disk.fork()));
        }
        store.close();
        let mut course = Self { script, base, answers, contents, tape: Vec::new() };
        let disk = course.base.fork();
        disk.record();
        let played = course.play(&disk, 0).unwrap();
        assert_eq!((played.answered, played.failed), (course.script.ops.len(), false));
        course.tape = disk.tape();
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
        Store::serve_on(disk.plug()).map_err(|error| format!("it does not open: {error}"))?.close();
        let found = content(disk);
        let after = allowed.clone().find(|ops| self.contents[*ops] == found);
        after.ok_or_else(|| match self.contents.iter().position(|content| *content == found) {
            Some(ops) => format!("it holds the first {ops} ops, not {allowed:?}"),
            None => format!("it holds a part of an op; {allowed:?} were possible"),
        })
    }

    /// The rest of the script on `disk`, which holds that many ops.
    fn go_on(&self, disk: &Disk, from: usize) -> Result<(), String> {
        let played = self.play(disk, from)?;
        let whole = !played.failed && Some(&content(disk)) == self.contents.last();
        if whole { Ok(()) } else { Err("it opened and does not go on".into()) }
    }

    /// Plays with a disk whose operation number `at` fails, then ends the process, and the machine. Answers whether there
    /// was such an operation.
    fn fail(&self, at: u64, fault: Fault) -> Result<bool, String> {
        let disk = self.base.fork();
        disk.fail_after(at, fault);
        let played = self.play(&disk, 0)?;
        if !disk.has_failed() {
            return Ok(false);
        }
        for crash in [Crash::Kill, Crash::PowerCut] {
            let machine = disk.fork();
            machine.crash(crash, at);
            let ops = self
                .verify(&machine, played.answered..=played.sent)
                .map_err(|wrong| format!("after {fault:?} at {at} and {crash:?}: {wrong}"))?;
            if crash == Crash::Kill && at.is_multiple_of(4) {
                self.go_on(&machine, ops).map_err(|wrong| format!("after {fault:?} at {at}: {wrong}"))?;
            }
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

fn content(disk: &Disk) -> Content {
    let database = redb::Database::builder().create_with_backend(disk.plug()).unwrap();
    let reader = database.begin_read().unwrap();
    let mut content = Content::new();
    for table in reader.list_tables().unwrap() {
        let name = table.name().to_owned();
        let table = reader.open_table(TableDefinition::<&[u8], &[u8]>::new(&name)).unwrap();
        for entry in table.iter().unwrap() {
            let (key, value) = entry.unwrap();
            content.insert((name.clone(), key.value().to_vec()), value.value().to_vec());
        }
    }
    content
}

/// Calls `part` with 0 and 1 on a thread each.
fn halves<T: Send>(part: impl Fn(usize) -> T + Sync) -> [T; 2] {
    std::thread::scope(|scope| {
        let other = scope.spawn(|| part(1));
        [part(0), other.join().unwrap()]
    })
}

fn rounds() -> u64 {
    crate::number("BELFRY_FAULT_ROUNDS").unwrap_or(1)
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

#[test]
fn whatever_operation_of_the_disk_fails_what_was_answered_is_there_and_the_file_opens() {
    let mut tried = 0;
    for seed in 0..rounds() {
        let course = Course::of(seed);
        for fault in [Fault::Stops, Fault::Tears, Fault::Once, Fault::Forgets, Fault::Full] {
            tried += fail_each(&course, fault).unwrap_or_else(|wrong| panic!("script {seed}: {wrong}"));
        }
    }
    println!("{tried} operations failed");
    assert!(tried > 1_000, "too few operations of the disk failed");
}

#[test]
fn wherever_the_power_is_cut_what_was_answered_is_there_and_the_file_opens() {
    let mut all = Cuts::default();
    for seed in 0..rounds() {
        let cuts = cut_each(&Course::of(seed), None).unwrap_or_else(|wrong| panic!("script {seed}: {wrong}"));
        all = Cuts { first: all.first + cuts.first, again: all.again + cuts.again };
    }
    println!("{} power cuts, {} of them followed by one during recovery", all.first, all.again);
    assert!(all.again > 100, "too few cuts came during recovery");
}

/// Whether a flaw of the store alone is noticed where the power is cut.
pub fn notices(flaw: Flaw) -> bool {
    cut_each(&Course::of(0), Some(flaw)).is_err()
}
