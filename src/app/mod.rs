//! The program: the command line, and the wiring of all floors into a server. It may name every floor, and nothing
//! names it.

pub mod backup_command;
mod channels;
pub mod cli;
pub mod client;
pub mod console;
pub mod demo;
mod dkim;
pub mod doctor;
pub mod exit_code;
pub mod housekeeping;
pub mod import;
pub mod keys;
pub mod keys_command;
mod link_key;
pub mod logging;
pub mod open_files;
pub mod place;
pub mod preview;
mod run_list;
pub mod runs_command;
pub mod serve;
pub mod server;
pub mod signing_key;
pub mod stand_in;
pub mod suppressions_command;
mod timeline;
mod vars;
pub mod watchdog;
pub mod workflow_dir;
mod workflow_watch;
