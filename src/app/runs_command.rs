//! `belfry runs`: what waits for what until when.

use std::fmt::Write;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::Value;

use super::client::segment;
use super::place::{Place, Reached};
use crate::base::clock::Clock;
use crate::base::ids::RunId;
use crate::engine::pending::{self, Filter};
use crate::http::runs::{page_json, recipient};

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

/// Runs the command.
pub async fn run(RunsCommand::List(list): RunsCommand) -> Result<()> {
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
            recipient: self.recipient.as_deref().map(recipient),
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
        let recipient = match &entry["recipient"] {
            Value::String(id) => id.clone(),
            object => format!(
                "{}/{}",
                object["collection"].as_str().unwrap_or_default(),
                object["id"].as_str().unwrap_or_default()
            ),
        };
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
