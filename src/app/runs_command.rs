//! `belfry runs`: what waits for what until when, and why a run did what it did.

use std::fmt::Write;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::Value;

use super::client::{Client, segment};
use super::place::{Place, Reached};
use super::timeline::{person, timeline};
use crate::base::clock::Clock;
use crate::base::ids::{RunId, TriggerId};
use crate::engine::pending::{self, Filter};
use crate::engine::trace::{self, Trace};
use crate::http::run_json::trace_json;
use crate::http::runs::page_json;
use crate::model::page::{From, PageRequest, cursor};
use crate::model::query::Query;
use crate::model::recipient::RecipientRef;
use crate::model::run_filter::RunFilter;
use crate::store::Reader;

/// The longest page that the server answers.
const PAGE: usize = 50;

/// What is done.
#[derive(Subcommand)]
pub enum RunsCommand {
    /// List the runs that have not ended: what each waits for, until when, and what it does then
    ///
    /// Oldest first. Works on the data folder, or through a running server: with --api-key, or with the developer's key
    /// beside the data of `belfry dev`.
    List(List),
    /// Show what happened to a run, step by step, and why there was, or was not, a message
    ///
    /// Takes the id of a run, as `belfry runs list` and messages have it, or that of a trigger, as `belfry trigger` prints
    /// it: then all its runs are shown. Works on the data folder, or through a running server, as the list does.
    Show(Show),
}

#[derive(Args)]
pub struct List {
    /// Only runs that have not ended; there is no list of others
    #[arg(long, required = true)]
    pending: bool,
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

#[derive(Args)]
pub struct Show {
    /// The id of a run, or of a trigger
    id: uuid::Uuid,
    /// Print them as JSON, one a line, as GET /v1/workflow_recipient_runs/{id} answers them
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

/// Runs the command.
pub async fn run(command: RunsCommand) -> Result<()> {
    match command {
        RunsCommand::List(list) => print_list(&list).await,
        RunsCommand::Show(show) => print_runs(&show).await,
    }
}

async fn print_runs(show: &Show) -> Result<()> {
    let config = show.place.folder.load()?;
    let runs = match show.place.reach(&config)? {
        Reached::Served(client) => served(&client, show.id).await?,
        Reached::Folder(store) => {
            let runs = stored(&store.read()?, show.id)?;
            store.close();
            runs
        }
    };
    if runs.is_empty() {
        bail!("no run and no trigger with runs has the id {}, or none any more", show.id);
    }
    let told = runs.iter().map(|run| if show.json { format!("{run}\n") } else { timeline(run) });
    print!("{}", told.collect::<Vec<_>>().join(if show.json { "" } else { "\n" }));
    if runs.len() == PAGE {
        eprintln!("There may be more: only the first {PAGE} runs of a trigger are shown");
    }
    Ok(())
}

/// The run `id`, or the first ones of the trigger `id`, oldest first.
async fn served(client: &Client, id: uuid::Uuid) -> Result<Vec<Value>> {
    let path = |id: &str| format!("/v1/workflow_recipient_runs/{}", segment(id));
    if let Some(run) = client.find(&path(&id.to_string())).await? {
        return Ok(vec![run]);
    }
    let from = cursor(RunId::least(TriggerId(id).made_at()).as_bytes());
    let list = format!("/v1/workflow_recipient_runs?workflow_run_id={id}&before={from}");
    let page = client.call(Method::GET, &list, None).await?;
    let mut runs = Vec::new();
    for run in page["items"].as_array().context("the server's answer has no items")?.iter().rev() {
        runs.extend(client.find(&path(run["id"].as_str().unwrap_or_default())).await?);
    }
    Ok(runs)
}

/// The same of a data folder.
fn stored(reader: &Reader, id: uuid::Uuid) -> Result<Vec<Value>> {
    if let Some(trace) = Trace::load(reader, RunId(id))? {
        return Ok(vec![trace_json(&trace)]);
    }
    let from = From::Before(RunId::least(TriggerId(id).made_at()).as_bytes().to_vec());
    let of_trigger = [("workflow_run_id".to_owned(), id.to_string())];
    let filter = RunFilter::from_query(Query::new(&of_trigger), &mut Vec::new());
    let page = trace::page(reader, &filter, &PageRequest { from, size: PAGE })?;
    let traces = page.entries.iter().rev().map(|summary| Trace::load(reader, summary.run.run().id));
    let traces = traces.collect::<Result<Vec<_>, _>>()?;
    Ok(traces.iter().flatten().map(trace_json).collect())
}

async fn print_list(list: &List) -> Result<()> {
    let (entries, after) = list.read().await?;
    if list.json {
        entries.iter().for_each(|entry| println!("{entry}"));
    } else {
        print!("{}", table(&entries));
    }
    if let Some(after) = after {
        eprintln!("There are more: --after {after}");
    }
    Ok(())
}

impl List {
    /// Page by page, until there are enough or no more.
    async fn read(&self) -> Result<(Vec<Value>, Option<String>)> {
        let config = self.place.folder.load()?;
        let reached = self.place.reach(&config)?;
        let (mut entries, mut after) = (Vec::new(), self.after.map(|id| id.to_string()));
        loop {
            let size = (self.limit - entries.len()).min(PAGE);
            let mut page = match &reached {
                Reached::Served(client) => client.call(Method::GET, &self.path(size, after.as_deref()), None).await?,
                Reached::Folder(store) => {
                    let from = after.as_deref().map(str::parse).transpose()?;
                    page_json(&pending::page(&store.read()?, &self.filter(), from, size)?, size, Clock::system().now())
                }
            };
            let found = page["entries"].as_array_mut().context("the server's answer has no entries")?;
            entries.append(found);
            after = page["page_info"]["after"].as_str().map(str::to_owned);
            if after.is_none() || entries.len() >= self.limit {
                break;
            }
        }
        if let Reached::Folder(store) = reached {
            store.close();
        }
        Ok((entries, after))
    }

    fn filter(&self) -> Filter {
        Filter {
            workflow: self.workflow.clone(),
            recipient: self.recipient.as_deref().map(RecipientRef::from_text),
            tenant: self.tenant.clone(),
        }
    }

    fn path(&self, size: usize, after: Option<&str>) -> String {
        let wanted = [
            ("workflow", self.workflow.as_deref()),
            ("recipient", self.recipient.as_deref()),
            ("tenant", self.tenant.as_deref()),
            ("after", after),
        ];
        let wanted = wanted.into_iter().filter_map(|(name, value)| Some(format!("&{name}={}", segment(value?))));
        format!("/admin/runs?page_size={size}{}", wanted.collect::<String>())
    }
}

const HEAD: [&str; 8] = ["RUN", "WORKFLOW", "RECIPIENT", "TENANT", "WAITS AT", "UNTIL", "LEFT", "THEN"];

/// The runs in columns, under a head.
fn table(entries: &[Value]) -> String {
    let rows = entries.iter().map(|entry| {
        let text = |key: &str| entry[key].as_str().unwrap_or("-").to_owned();
        let recipient = person(&entry["recipient"]);
        let (until, left) = match (entry["due_at"].as_str(), entry["seconds_left"].as_i64()) {
            // To the second; the rest is for machines.
            (Some(due), Some(left)) => (format!("{}Z", &due[..due.len().min(19)]), span(left)),
            _ => ("now".to_owned(), "-".to_owned()),
        };
        let next = entry["next_step"].as_str().unwrap_or("ends").to_owned();
        [text("id"), text("workflow"), recipient, text("tenant"), text("waits_at"), until, left, next]
    });
    let lines: Vec<[String; 8]> = std::iter::once(HEAD.map(str::to_owned)).chain(rows).collect();
    let widths: [usize; 8] =
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
        let text = table(&[run(json!("ü")), run(json!({"collection": "teams", "id": "a"}))]);
        assert_eq!(
            text,
            "RUN  WORKFLOW  RECIPIENT  TENANT  WAITS AT  UNTIL                 LEFT   THEN\n\
             r1   w         ü          -       delay_1   2026-01-31T17:12:59Z  1m 1s  ends\n\
             r1   w         teams/a    -       delay_1   2026-01-31T17:12:59Z  1m 1s  ends\n"
        );
    }
}
