//! `belfry runs`: which runs there are, and why each did what it did.

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::Value;

use super::client::{Client, segment};
use super::console::{remark, say};
use super::place::{Place, Reached};
use super::run_list::{self, List, PAGE};
use super::timeline::timeline;
use crate::base::ids::{RunId, TriggerId};
use crate::engine::trace::{self, Trace};
use crate::http::run_json::trace_json;
use crate::model::page::{From, PageRequest, cursor};
use crate::model::query::Query;
use crate::model::run_filter::RunFilter;
use crate::store::Reader;

/// What is done.
#[derive(Subcommand)]
pub enum RunsCommand {
    /// List runs, the newest first; or those that have not ended: what each waits for, until when, and what it does then
    ///
    /// Works on the data folder, or through a running server: with --api-key, or with the developer's key beside the data
    /// of `belfry dev`.
    List(List),
    /// Show what happened to a run, step by step, and why there was, or was not, a message
    ///
    /// Takes the id of a run, as `belfry runs list` and messages have it, or that of a trigger, as `belfry trigger` prints
    /// it: then all its runs are shown. Works on the data folder, or through a running server, as the list does.
    Show(Show),
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
        RunsCommand::List(list) => run_list::print(&list).await,
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
    say!("{}", told.collect::<Vec<_>>().join(if show.json { "" } else { "\n" }));
    if runs.len() == PAGE {
        remark!("There may be more: only the first {PAGE} runs of a trigger are shown");
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
