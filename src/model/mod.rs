//! The domain: workflows, recipients, triggers, runs, messages, feeds. Pure: no I/O, no clock, no actors. It may name
//! `base` and nothing else, and does not know how anything is stored, rendered or sent.

pub mod access;
mod branch_step;
pub mod bulk_operation;
pub mod channel;
pub mod channel_data;
mod channel_step;
mod comparison;
pub mod condition;
pub mod consent;
pub mod delay_step;
pub mod duration;
pub mod engagement;
pub mod entries;
pub mod fault;
pub mod feed;
mod findings;
pub mod flow;
mod json_path;
mod json_reader;
pub mod message;
pub mod message_filter;
pub mod message_status;
pub mod moment;
pub mod notice;
pub mod page;
mod pointer;
pub mod preferences;
pub mod profile;
pub mod query;
pub mod recipient;
pub mod run;
pub mod span;
mod step_file;
pub mod subscription;
mod template_file;
pub mod throttle_step;
pub mod trigger;
pub mod trigger_data;
mod window_rule;
pub mod workflow;
pub mod workflow_file;
#[cfg(test)]
mod workflow_sample;
