//! The real binary, killed, starved and fed with broken files: what it acknowledged is there, what it cannot do it says.
//!
//! `cargo test --test crash -- --rounds 100` kills the server that often; the test command does it a few times.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod disks;
#[path = "../figures/mod.rs"]
mod figures;
#[path = "../flags/mod.rs"]
mod flags;
mod kills;
mod ledger;
mod load;
mod outage;
// Shared with the end-to-end tests, which use more of them.
#[allow(dead_code)]
#[path = "../e2e/server.rs"]
mod server;
#[allow(dead_code)]
#[path = "../e2e/smtp.rs"]
mod smtp;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

/// Kills in the test command: a quarter of its time.
const ROUNDS: usize = 6;

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().collect();
    let rounds = flags::take(&mut arguments, "--rounds").unwrap_or(ROUNDS);
    let mut arguments = Arguments::from_iter(arguments);
    // One at a time: they measure how late things come.
    arguments.test_threads.get_or_insert(1);
    let trials = vec![
        Trial::test("broken_promises_are_found_in_a_ledger", || {
            ledger::broken_promises_are_found();
            Ok(())
        }),
        trial("every_request_is_accounted_for_over_kills", move || kills::every_request_is_accounted_for(rounds)),
        trial(
            "what_became_due_in_an_outage_begins_at_once",
            outage::what_became_due_in_an_outage_begins_at_once_and_holds_nobody_up,
        ),
        trial("a_full_disk_ends_it_cleanly", disks::a_full_disk_ends_it_cleanly_and_the_file_opens_when_there_is_room),
        trial(
            "a_file_that_may_not_grow_ends_it_cleanly",
            disks::a_file_that_may_not_grow_ends_it_cleanly_and_opens_when_it_may,
        ),
        trial(
            "a_read_only_folder_is_refused",
            disks::a_data_folder_that_cannot_be_written_is_refused_and_works_when_it_can,
        ),
        trial("a_damaged_file_is_refused", disks::a_damaged_file_is_refused_and_left_as_it_is),
        trial("a_damaged_record_is_named", disks::a_damaged_record_is_named_and_never_read_as_another),
        trial(
            "a_first_start_that_is_killed_leaves_a_folder_that_opens",
            disks::a_first_start_that_is_killed_leaves_a_folder_that_opens,
        ),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial<F: Future<Output = ()>>(name: &str, scenario: impl FnOnce() -> F + Send + 'static) -> Trial {
    Trial::test(name, || {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(scenario());
        Ok(())
    })
}
