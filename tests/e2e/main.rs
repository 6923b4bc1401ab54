//! The real binary with a real mail server.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bad_input;
mod commands;
mod mail_faults;
mod recovery;
mod server;
mod smtp;
