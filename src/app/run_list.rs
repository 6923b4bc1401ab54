//! `belfry runs list`: which runs there are, and what those wait for that have not ended.

use std::fmt::Write;

use anyhow::{Context, Result, bail};
use clap::Args;
use reqwest::Method;
use serde_json::Value;

use super::client::segment;
use super::console::{remark, say, say_line};
use super::place::{Place, Reached};
use super::timeline::person;
use crate::base::clock::Clock;
use crate::base::ids::RunId;
use crate::engine::pending::{self, Filter};
use crate::engine::trace;
use crate::http::run_json::summary_json;
use crate::http::runs::page_json;
use crate::model::page::{From, PageRequest, cursor, key};
use crate::model::query::Query;
use crate::model::recipient::RecipientRef;
use crate::model::run_filter::RunFilter;
use crate::store::{Reader, StoreError};

/// The longest page that the server answers.
pub const PAGE: usize = 50;

#[derive(Args)]
pub struct List {
    /// Only runs that have not ended, the oldest first, with what each waits for
    #[arg(long)]
    pending: bool,
    /// Only those in which something failed
    #[arg(long, conflicts_with = "pending")]
    errors: bool,
    /// Only those of this workflow
    #[arg(long, value_name = "KEY")]
    workflow: Option<String>,
    /// Only those of this recipient: a user's id, or COLLECTION/ID
    #[arg(long, value_name = "ID")]
    recipient: Option<String>,
    /// Only those of this tenant
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,
    /// Print them as JSON, one a line
    #[arg(long)]
    json: bool,
    /// How many to print at most
    #[arg(long, value_name = "COUNT", default_value_t = PAGE)]
    limit: usize,
    /// Go on behind the last run of an earlier list
    #[arg(long, value_name = "RUN")]
    after: Option<RunId>,
    #[command(flatten)]
    place: Place,
}

/// Entries, and the run behind which the next ones come.
type Page = (Vec<Value>, Option<RunId>);

/// Prints the list.
pub async fn print(list: &List) -> Result<()> {
    let (entries, after) = list.read().await?;
    if list.json {
        entries.iter().for_each(|entry| say_line!("{entry}"));
    } else if list.pending {
        say!("{}", table(WAITING, entries.iter().map(waiting)));
    } else {
        say!("{}", table(KNOWN, entries.iter().map(known)));
    }
    if let Some(after) = after {
        remark!("There are more: --after {after}");
    }
    Ok(())
}

impl List {
    /// Page by page, until there are enough or no more.
    async fn read(&self) -> Result<Page> {
        let config = self.place.folder.load()?;
        let reached = self.place.reach(&config)?;
        let (mut entries, mut after) = (Vec::new(), self.after);
        loop {
            let size = (self.limit - entries.len()).min(PAGE);
            let (mut found, next) = match &reached {
                Reached::Served(client) => {
                    self.served(client.call(Method::GET, &self.path(size, after), None).await?)?
                }
                Reached::Folder(store) => self.stored(&store.read()?, after, size)?,
            };
            entries.append(&mut found);
            after = next;
            if after.is_none() || entries.len() >= self.limit {
                break;
            }
        }
        if let Reached::Folder(store) = reached {
            store.close();
        }
        Ok((entries, after))
    }

    /// What the server answered.
    fn served(&self, mut page: Value) -> Result<Page> {
        let entries = page[if self.pending { "entries" } else { "items" }].take();
        let Value::Array(entries) = entries else { bail!("the server's answer has no entries") };
        let after = page["page_info"]["after"].as_str();
        let after = after.map(|text| if self.pending { text.parse().ok() } else { run_of(&key(text)?) });
        Ok((entries, after.map(|after| after.context("the server's cursor is no run")).transpose()?))
    }

    /// A page of a data folder.
    fn stored(&self, reader: &Reader, after: Option<RunId>, size: usize) -> Result<Page> {
        let page = if self.pending {
            page_json(&pending::page(reader, &self.filter(), after, size)?, size, Clock::system().now())
        } else {
            let from = after.map_or(From::Start, |run| From::After(run.as_bytes().to_vec()));
            let asked = PageRequest { from, size };
            let wanted =
                self.wanted().into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
            let filter = RunFilter::from_query(Query::new(&wanted.collect::<Vec<_>>()), &mut Vec::new());
            let page = trace::page(reader, &filter, &asked)?;
            page.to_json_named("items", &asked, |summary| Ok::<_, StoreError>(summary_json(summary)))?
        };
        self.served(page)
    }

    fn filter(&self) -> Filter {
        Filter {
            workflow: self.workflow.clone(),
            recipient: self.recipient.as_deref().map(RecipientRef::from_text),
            tenant: self.tenant.clone(),
        }
    }

    /// What is asked for, as both lists of the API name it.
    fn wanted(&self) -> [(&'static str, Option<&str>); 4] {
        [
            ("workflow", self.workflow.as_deref()),
            ("recipient", self.recipient.as_deref()),
            ("tenant", self.tenant.as_deref()),
            ("has_errors", self.errors.then_some("true")),
        ]
    }

    fn path(&self, size: usize, after: Option<RunId>) -> String {
        let list = if self.pending { "/admin/runs" } else { "/v1/workflow_recipient_runs" };
        let after = after.map(|run| if self.pending { run.to_string() } else { cursor(run.as_bytes()) });
        let wanted = self.wanted().into_iter().chain([("after", after.as_deref())]);
        let wanted = wanted.filter_map(|(name, value)| Some(format!("&{name}={}", segment(value?))));
        format!("{list}?page_size={size}{}", wanted.collect::<String>())
    }
}

/// The run that a cursor of a list of runs names.
fn run_of(key: &[u8]) -> Option<RunId> {
    <[u8; 16]>::try_from(key).ok().map(RunId::from)
}

const WAITING: [&str; 8] = ["RUN", "WORKFLOW", "RECIPIENT", "TENANT", "WAITS AT", "UNTIL", "LEFT", "THEN"];
const KNOWN: [&str; 8] = ["RUN", "WORKFLOW", "RECIPIENT", "TENANT", "STARTED", "STATUS", "OUTCOME", "ERRORS"];

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("-").to_owned()
}

/// To the second; the rest is for machines.
fn second(value: &Value) -> String {
    value.as_str().map_or_else(|| "-".to_owned(), |at| format!("{}Z", &at[..at.len().min(19)]))
}

fn waiting(run: &Value) -> [String; 8] {
    let (until, left) = match run["seconds_left"].as_i64() {
        Some(left) => (second(&run["due_at"]), span(left)),
        None => ("now".to_owned(), "-".to_owned()),
    };
    let next = run["next_step"].as_str().unwrap_or("ends").to_owned();
    let event = run["waits_for"].as_str().map(|event| format!(": {event}")).unwrap_or_default();
    let [id, workflow, recipient, tenant] = named(run);
    [id, workflow, recipient, tenant, text(&run["waits_at"]) + &event, until, left, next]
}

fn known(run: &Value) -> [String; 8] {
    let [id, workflow, recipient, tenant] = named(run);
    let started = second(&run["inserted_at"]);
    [
        id,
        workflow,
        recipient,
        tenant,
        started,
        text(&run["status"]),
        text(&run["outcome"]),
        run["error_count"].to_string(),
    ]
}

fn named(run: &Value) -> [String; 4] {
    [text(&run["id"]), text(&run["workflow"]), person(&run["recipient"]), text(&run["tenant"])]
}

/// The rows in columns, under a head.
fn table<const COLUMNS: usize>(head: [&str; COLUMNS], rows: impl Iterator<Item = [String; COLUMNS]>) -> String {
    let lines: Vec<[String; COLUMNS]> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let widths: [usize; COLUMNS] =
        std::array::from_fn(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default());
    lines.iter().fold(String::new(), |mut text, line| {
        let cells = line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        let _ = writeln!(text, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
        text
    })
}

/// A time that is left, in its two largest units.
fn span(seconds: i64) -> String {
    let left = seconds.unsigned_abs();
    let units = [(left / 86_400, "d"), (left / 3_600 % 24, "h"), (left / 60 % 60, "m"), (left % 60, "s")];
    let first = units.iter().position(|(count, _)| *count > 0).unwrap_or(3);
    let text: Vec<String> = units[first..].iter().take(2).map(|(count, unit)| format!("{count}{unit}")).collect();
    if seconds < 0 { format!("{} overdue", text.join(" ")) } else { text.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_span_is_told_in_its_two_largest_units() {
        let spans = [(0, "0s"), (59, "59s"), (60, "1m 0s"), (3 * 86_400 - 1, "2d 23h"), (-75, "1m 15s overdue")];
        for (seconds, text) in spans {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let run = |recipient: Value| {
            json!({"id": "r1", "workflow": "w", "recipient": recipient, "tenant": null, "waits_at": "delay_1",
                "next_step": null, "due_at": "2026-01-31T17:12:59.958652Z", "seconds_left": 61})
        };
        let runs = [run(json!("ü")), run(json!({"collection": "teams", "id": "a"}))];
        let text = table(WAITING, runs.iter().map(waiting));
        assert_eq!(
            text,
            "RUN  WORKFLOW  RECIPIENT  TENANT  WAITS AT  UNTIL                 LEFT   THEN\n\
             r1   w         ü          -       delay_1   2026-01-31T17:12:59Z  1m 1s  ends\n\
             r1   w         teams/a    -       delay_1   2026-01-31T17:12:59Z  1m 1s  ends\n"
        );
    }
}
