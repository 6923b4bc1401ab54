//! `belfry suppressions`: addresses that get no mail, of a server that runs or of a data folder that is at rest.

use anyhow::{Context, Result, anyhow, bail};
use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};

use super::client::{Client, segment};
use super::console::say_line;
use super::place::{Place, Reached};
use crate::base::clock::Clock;
use crate::model::page::{From, MAX_PAGE, PageRequest};
use crate::model::suppression::{Reason, Suppression};
use crate::store::Store;
use crate::store::op::Op;

/// What is done.
#[derive(Subcommand)]
pub enum SuppressionsCommand {
    /// List the addresses: address, why and since when, what was said
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Send no more mail to an address
    ///
    /// Messages to it end as undelivered, with the reason in their delivery log. An address whose mail server says that
    /// there is no such mailbox comes onto the list by itself.
    Add {
        /// The address
        address: String,
        /// Why, for whoever reads the list
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// Send mail to an address again
    Remove {
        /// The address
        address: String,
        #[command(flatten)]
        place: Place,
    },
}

/// Runs the command.
pub async fn run(command: SuppressionsCommand) -> Result<()> {
    match command {
        SuppressionsCommand::List { place } => match place.reach(&place.folder.load()?)? {
            Reached::Served(client) => list_served(&client).await,
            Reached::Folder(store) => {
                let listed = list_stored(&store);
                store.close();
                listed
            }
        },
        SuppressionsCommand::Add { address, note, place } => {
            let suppression = match place.reach(&place.folder.load()?)? {
                Reached::Served(client) => {
                    let body = json!({"address": address, "note": note});
                    read(client.call(Method::POST, "/admin/suppressions", Some(&body)).await?)?
                }
                Reached::Folder(store) => {
                    let suppression = Suppression::manual(&address, note, Clock::system().now());
                    let suppression = suppression.map_err(|why| anyhow!("`{address}` {why}"))?;
                    store.submit(Op::Suppress(suppression.clone())).await?;
                    let stored = store.read()?.suppression(&address)?;
                    store.close();
                    stored.unwrap_or(suppression)
                }
            };
            say_line!("{}", line(&suppression));
            Ok(())
        }
        SuppressionsCommand::Remove { address, place } => {
            let removed = match place.reach(&place.folder.load()?)? {
                Reached::Served(client) => {
                    let path = format!("/admin/suppressions/{}", segment(&address));
                    read(client.call(Method::DELETE, &path, None).await?)?
                }
                Reached::Folder(store) => {
                    let Some(listed) = store.read()?.suppression(&address)? else {
                        bail!("`{address}` is not on the suppression list; `belfry suppressions list` shows it")
                    };
                    store.submit(Op::Unsuppress(address)).await?;
                    store.close();
                    listed
                }
            };
            say_line!("removed: {}", line(&removed));
            Ok(())
        }
    }
}

async fn list_served(client: &Client) -> Result<()> {
    let mut after = String::new();
    loop {
        let path = format!("/admin/suppressions?page_size={MAX_PAGE}{after}");
        let mut page = client.call(Method::GET, &path, None).await?;
        for suppression in page["entries"].as_array_mut().into_iter().flatten() {
            say_line!("{}", line(&read(suppression.take())?));
        }
        match page["page_info"]["after"].as_str() {
            Some(cursor) => after = format!("&after={cursor}"),
            None => return Ok(()),
        }
    }
}

fn list_stored(store: &Store) -> Result<()> {
    let reader = store.read()?;
    let mut from = From::Start;
    loop {
        let page = reader.suppressions(&PageRequest { from, size: MAX_PAGE })?;
        page.entries.iter().for_each(|suppression| say_line!("{}", line(suppression)));
        match page.after {
            Some(cursor) => from = From::After(cursor),
            None => return Ok(()),
        }
    }
}

fn read(answer: Value) -> Result<Suppression> {
    serde_json::from_value(answer).context("the server's answer is not understood; is it a Belfry of this version?")
}

fn line(suppression: &Suppression) -> String {
    let why = match suppression.reason {
        Reason::Manual => "listed",
        Reason::Bounced => "bounced",
    };
    let note = suppression.note.as_deref().unwrap_or_default();
    format!("{}  {why} {}  {note}", suppression.address, suppression.at).trim_end().to_owned()
}
