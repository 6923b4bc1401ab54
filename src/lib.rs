//! Belfry: notification infrastructure in one binary.
//!
//! This is the map. The floors, from the ground up; each may name only those above it in this list, which
//! `tests/architecture.rs` proves:
//!
//! | floor | what it is for |
//! | --- | --- |
//! | [`base`] | time, ids, configuration, what is injected, how actors are sent to |
//! | [`model`] | workflows, recipients, triggers, runs, messages, feeds; pure |
//! | [`template`] | rendering, bounded and sanitised; pure |
//! | [`store`] | everything on disk: ops in, one group-commit writer, typed reads out |
//! | [`engine`] | what a run does next (`plan`, pure), the run actor, the registry of all pending runs |
//! | [`delivery`] | the courier: lanes, attempts, retries, SMTP, the captured mailbox |
//! | [`feed`] | in-app feeds: pages, counts, marks; the hub and the actors that tell connected browsers what changed |
//! | [`http`] | the API: routes, keys, user tokens, sockets, errors, the developer's endpoints and demo page |
//! | [`app`] | the command line, and the wiring of all floors into a server |
//!
//! The way of a trigger: `http::workflows` parses it, `engine::trigger` commits it with all its runs and only then
//! answers, `engine::registry` starts an actor for each run, `engine::run` asks `engine::plan` what to do, writes that
//! and acts, `delivery::courier` takes what lies in the outbox to its provider.
//!
//! The way of an item to a browser: the commit that puts it into a feed is followed by a hint to `feed::hub`, which
//! passes it to the actor of the user's feeds, `feed::live`, if somebody watches; `feed::push` reads what is new and
//! counts it, `http::socket` sends that, and the browser reads its feed through `http::feeds`. A mark goes the same way
//! from `http::messages` on.

pub mod app;
pub mod base;
pub mod delivery;
pub mod engine;
pub mod feed;
pub mod http;
pub mod model;
pub mod store;
pub mod template;
