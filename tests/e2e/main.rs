//! The real binary from outside: over HTTP, SMTP and the command line, killed, restarted, and given bad input.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod backup;
mod bad_input;
mod cli;
mod cors;
mod demo;
mod doctor;
mod fairness;
mod feed;
mod idempotency;
mod import;
mod keys;
mod operation;
mod phoenix;
mod recovery;
mod retention;
mod runs;
mod server;
mod smtp;
mod smtp_faults;
mod socket;
mod steps;
mod story;
mod tokens;
mod watchdog;
