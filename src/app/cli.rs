//! The command line.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Parser, Subcommand};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::backup_command::{self, Backup, Restore};
use super::client::segment;
use super::console::{remark, say, say_line};
use super::doctor::{self, Doctor};
use super::import::{self, Knock};
use super::keys_command::{self, KeysCommand};
use super::place::{Folder, Place};
use super::preview::{self, Occasion};
use super::runs_command::{self, RunsCommand};
use super::suppressions_command::{self, SuppressionsCommand};
use super::timeline::{person, timeline};
use super::{channels, demo, dkim, logging, serve, server, stand_in, workflow_dir};
use crate::base::config::{Config, LogLevel, Overrides};
use crate::model::fault::Fault;

/// The file that is read when no other is named.
const DEFAULT_FILE: &str = "belfry.toml";

/// Notification infrastructure in one binary: workflows, durable delays, email, in-app feeds, cancels that hold.
#[derive(Parser)]
#[command(name = "belfry", version, arg_required_else_help = true, after_help = AFTER_HELP)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
First steps:
  belfry demo                     see the main job: an invite, its reminder after three days, a cancel
  belfry dev                      a server with all defaults: captured mail, a clock that can be advanced
  belfry config default > belfry.toml
  belfry serve                    a server for real, as belfry.toml says";

#[derive(Subcommand)]
enum Command {
    /// Run a server as the configuration says
    ///
    /// Reads --config, or belfry.toml if there is one, or uses the defaults. SIGTERM stops it: requests and sends that
    /// are under way end, everything else goes on at the next start. A second SIGTERM ends it at once, also safely.
    Serve(ServeArgs),
    /// Run a developer's server: all defaults, captured mail, a clock that can be advanced
    ///
    /// Needs no file. Prints its address, its keys, a page to look at and a command to try. Uses the workflows under
    /// config/workflows if there are any, else three starters. The keys stay the same as long as the data folder does.
    Dev(ServerFlags),
    /// Play the main job against a fresh server and print what happened
    ///
    /// Two people are invited; one accepts, so that the reminder is called off; three days pass in a moment. Exits with
    /// 0 if everything went as it should, else says what did not.
    Demo,
    /// Trigger a workflow on a running server
    ///
    /// Example: belfry trigger account-invite --to dr@grant.test --actor hammond \
    ///   --cancellation-key invite-7 --data '{"inviteToken": "abc"}'
    #[command(verbatim_doc_comment)]
    Trigger(TriggerArgs),
    /// Say what a trigger would do, step by step and with what its messages say; store and send nothing
    ///
    /// Asks a running server, so that people, preferences, throttles and open batches count as they are stored. Takes what
    /// `belfry trigger` takes.
    ///
    /// Example: belfry explain account-invite --to dr@grant.test --data '{"inviteToken": "abc"}'
    #[command(verbatim_doc_comment)]
    Explain(ExplainArgs),
    /// Cancel the runs of a cancellation key on a running server
    ///
    /// Ends all runs that were triggered with the key and have not ended: no later step of theirs starts. With --to,
    /// only those of the named recipients.
    Cancel(CancelArgs),
    /// API keys, user tokens and the keys that sign them
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Runs that have not ended
    #[command(subcommand)]
    Runs(RunsCommand),
    /// Addresses that get no mail
    #[command(subcommand)]
    Suppressions(SuppressionsCommand),
    /// Write all data into a file, while the server runs or while it does not
    ///
    /// The file is a data file with what was committed at one instant; it holds people's data and the hashes of API keys,
    /// and only its owner can read it. A running server is asked with --api-key (or BELFRY_API_KEY), or with the
    /// developer's key beside the data of `belfry dev`.
    Backup(Backup),
    /// Make a backup the data of a server that does not run
    ///
    /// The file is read through first. Runs go on at the next start; what was due by then is done at once.
    Restore(Restore),
    /// Give the disk back what the data file does not use any more; no server may use it meanwhile
    Compact(Folder),
    /// Look whether everything that a server needs is in order, and say what to do where it is not
    ///
    /// Configuration, keys, data folder and disk, every record of the data file (or the server that holds it), port, clock,
    /// limits, workflows, and the login at each mail server. Changes and sends nothing. Exits with 1 if a check fails.
    Doctor(Doctor),
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Work on workflow directories
    #[command(subcommand)]
    Workflow(WorkflowCommand),
    /// Take over what another product has
    #[command(subcommand)]
    Import(ImportCommand),
}

#[derive(Args)]
struct ServeArgs {
    /// The configuration file [default: belfry.toml, if there is one]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Serve the developer's endpoints: captured mail and the clock
    #[arg(long)]
    dev: bool,
    #[command(flatten)]
    flags: ServerFlags,
}

#[derive(Args, Default)]
struct ServerFlags {
    /// The address to listen on; port 0 takes a free one
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<SocketAddr>,
    /// The address under which others reach this server
    #[arg(long, value_name = "URL")]
    public_url: Option<String>,
    /// Where the data is kept
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The directory of workflows, each in <key>/workflow.json
    #[arg(long, value_name = "DIR")]
    workflows: Option<PathBuf>,
    /// error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<LogLevel>,
}

#[derive(Args)]
struct TriggerArgs {
    /// The workflow's key
    workflow: String,
    /// A recipient: a user's id, or JSON such as '{"id": "u1", "email": "u@x.test"}', or @FILE.json; repeatable
    #[arg(long = "to", value_name = "RECIPIENT", required = true)]
    to: Vec<String>,
    /// Who did it: a user's id, or JSON
    #[arg(long, value_name = "RECIPIENT")]
    actor: Option<String>,
    /// The tenant's id
    #[arg(long, value_name = "ID")]
    tenant: Option<String>,
    /// Data for the templates: a JSON object, or @FILE
    #[arg(long, value_name = "JSON")]
    data: Option<String>,
    /// The key that `belfry cancel` takes
    #[arg(long, value_name = "KEY")]
    cancellation_key: Option<String>,
    #[command(flatten)]
    place: Place,
}

#[derive(Args)]
struct ExplainArgs {
    #[command(flatten)]
    trigger: TriggerArgs,
    /// Print it as JSON, as POST /admin/workflows/{key}/explain answers it
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct CancelArgs {
    /// The workflow's key
    workflow: String,
    /// The key that the trigger was given
    cancellation_key: String,
    /// Only the runs of this recipient; repeatable
    #[arg(long = "to", value_name = "RECIPIENT")]
    to: Vec<String>,
    #[command(flatten)]
    place: Place,
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Check the configuration and print it as it takes effect, without secrets
    Check(ServeArgs),
    /// Print the default configuration: every key, with what it does
    Default,
}

#[derive(Subcommand)]
enum WorkflowCommand {
    /// Check every workflow and its templates; report all faults
    Validate {
        /// The directory of workflows [default: workflows.dir of the configuration]
        dir: Option<PathBuf>,
        /// The configuration file, for the channels [default: belfry.toml, else that of `belfry dev`]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Print what the messages of a workflow say to somebody, as JSON with one field a step; sends nothing
    ///
    /// Example: belfry workflow preview account-invite --step email_1 --to '{"id": "u1", "name": "Ada"}' --data @invite.json
    #[command(verbatim_doc_comment)]
    Preview(PreviewArgs),
    /// Have a running server publish its directory of workflows again; tell what it did, and every fault
    Reload(Place),
}

#[derive(Subcommand)]
enum ImportCommand {
    /// Take over a directory that was pulled from Knock, and report what was taken, adapted, or is not supported
    ///
    /// DIR is what `knock pull` wrote, a folder of workflows, or one workflow. Files are copied as they are, but for
    /// the language of their templates, which is recorded as Liquid. Every finding names its file and line. Nothing is
    /// written over that differs, unless --overwrite says so.
    ///
    /// Example: belfry import knock ./knock --check
    #[command(verbatim_doc_comment)]
    Knock(Knock),
}

#[derive(Args)]
struct PreviewArgs {
    /// The workflow's key
    workflow: String,
    /// Only the message of this step
    #[arg(long, value_name = "REF")]
    step: Option<String>,
    /// The recipient: a user's id, or JSON with the properties that templates name, or @FILE.json
    #[arg(long, value_name = "RECIPIENT")]
    to: String,
    /// Who did it: a user's id, or JSON
    #[arg(long, value_name = "RECIPIENT")]
    actor: Option<String>,
    /// The tenant: an id, or JSON
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
    /// Data for the templates: a JSON object, or @FILE
    #[arg(long, value_name = "JSON")]
    data: Option<String>,
    /// Show the first message in a browser
    #[arg(long)]
    open: bool,
    /// The directory of workflows [default: workflows.dir of the configuration]
    #[arg(long, value_name = "DIR")]
    workflows: Option<PathBuf>,
    /// The configuration file, for channels and vars [default: belfry.toml, else that of `belfry dev`]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs the command of this process's arguments.
pub fn run() -> Result<()> {
    match Cli::parse().command {
        Command::Serve(args) => serve_with(serve::serve, load(&args)?),
        Command::Dev(flags) => serve_with(serve::dev, Config::load_dev(&overrides(&flags, false))?),
        Command::Demo => {
            let mut config = Config::from_layers(Some(Config::DEV), [], &Overrides::default())?;
            config.log.level = LogLevel::Error;
            serve_with(demo::demo, config)
        }
        Command::Trigger(args) => block_on(trigger(args)),
        Command::Explain(args) => block_on(explain(args)),
        Command::Cancel(args) => block_on(cancel(args)),
        Command::Keys(command) => block_on(keys_command::run(command)),
        Command::Runs(command) => block_on(runs_command::run(command)),
        Command::Suppressions(command) => block_on(suppressions_command::run(command)),
        Command::Backup(args) => block_on(backup_command::back_up(args)),
        Command::Restore(args) => backup_command::restore(args),
        Command::Compact(args) => backup_command::compact(&args),
        Command::Doctor(args) => block_on(doctor::examine(args)),
        Command::Config(ConfigCommand::Default) => {
            say!("{}", Config::default_toml());
            Ok(())
        }
        Command::Config(ConfigCommand::Check(args)) => {
            let config = load(&args)?;
            let records = dkim::records(&config, &server::check_workflows(&config).valid)?;
            channels::as_engine_sees(&config)?;
            say!("{}{records}", config.to_redacted_toml());
            Ok(())
        }
        Command::Workflow(WorkflowCommand::Validate { dir, config }) => {
            let file = file_or_default(config);
            server::validate(&without_server(dir, file.clone())?, file.is_some())
        }
        Command::Workflow(WorkflowCommand::Preview(args)) => preview(args),
        Command::Workflow(WorkflowCommand::Reload(server)) => block_on(reload(server)),
        Command::Import(ImportCommand::Knock(args)) => import::knock(&args),
    }
}

fn serve_with<F: Future<Output = Result<()>>>(command: impl FnOnce(Config) -> F, config: Config) -> Result<()> {
    logging::start(&config);
    block_on(command(config))
}

fn block_on<F: Future<Output = Result<()>>>(future: F) -> Result<()> {
    actix::System::new().block_on(future)
}

fn load(args: &ServeArgs) -> Result<Config> {
    let file = file_or_default(args.config.clone());
    Ok(Config::load(file.as_deref(), &overrides(&args.flags, args.dev))?)
}

/// The configuration file that is read: the one that was named, or the one that is there.
pub fn file_or_default(named: Option<PathBuf>) -> Option<PathBuf> {
    named.or_else(|| Path::new(DEFAULT_FILE).exists().then(|| DEFAULT_FILE.into()))
}

fn overrides(flags: &ServerFlags, dev: bool) -> Overrides {
    Overrides {
        listen: flags.listen,
        public_url: flags.public_url.clone(),
        data_dir: flags.data_dir.clone(),
        dev: dev.then_some(true),
        workflows_dir: flags.workflows.clone(),
        log_level: flags.log_level,
    }
}

/// The configuration for work on workflow directories.
fn without_server(workflows_dir: Option<PathBuf>, config: Option<PathBuf>) -> Result<Config> {
    let overrides = Overrides { workflows_dir, ..Overrides::default() };
    Ok(match file_or_default(config) {
        Some(file) => Config::load(Some(&file), &overrides)?,
        None => {
            let mut config = Config::load_dev(&overrides)?;
            let (workflows, _) = workflow_dir::read(&config.workflows.dir);
            stand_in::make_up(&mut config, &workflows);
            config
        }
    })
}

fn preview(args: PreviewArgs) -> Result<()> {
    let config = without_server(args.workflows, args.config)?;
    let data = args.data.map_or(Ok(json!({})), |data| json_argument("--data", &data))?;
    let Value::Object(data) = data else {
        bail!("--data must be a JSON object, such as '{{\"project\": \"Apollo\"}}'")
    };
    let occasion = Occasion {
        recipient: recipient("--to", &args.to)?,
        actor: args.actor.map(|actor| recipient("--actor", &actor)).transpose()?,
        tenant: args.tenant.map(|tenant| recipient("--tenant", &tenant)).transpose()?,
        data,
    };
    let preview = preview::preview(&config, &args.workflow, args.step.as_deref(), occasion, args.open)?;
    // Standard output is the messages alone, for programs that read them.
    preview.findings.remarks.iter().for_each(|told| remark!("note: {told}"));
    preview.findings.faults.iter().for_each(|fault| remark!("fault: {fault}"));
    say_line!("{:#}", preview.messages);
    Ok(())
}

async fn trigger(args: TriggerArgs) -> Result<()> {
    let id = args.place.server()?.trigger(&args.workflow, &trigger_body(&args)?).await?;
    say_line!("{id}");
    Ok(())
}

async fn explain(ExplainArgs { trigger, json }: ExplainArgs) -> Result<()> {
    let path = format!("/admin/workflows/{}/explain", segment(&trigger.workflow));
    let answer = trigger.place.server()?.call(Method::POST, &path, Some(&trigger_body(&trigger)?)).await?;
    if json {
        say_line!("{answer:#}");
        return Ok(());
    }
    let list = |name: &str| answer[name].as_array().cloned().unwrap_or_default();
    say!("{}", list("runs").iter().map(timeline).collect::<Vec<_>>().join("\n"));
    for object in list("spreads_to_subscribers_of") {
        say_line!("\nThe subscribers of {} would have runs of their own: explain one with --to", person(&object));
    }
    Ok(())
}

/// The body of the trigger request.
fn trigger_body(args: &TriggerArgs) -> Result<Value> {
    let mut body = Map::new();
    let recipients = args.to.iter().map(|text| recipient("--to", text)).collect::<Result<Vec<_>>>()?;
    body.insert("recipients".into(), recipients.into());
    if let Some(actor) = &args.actor {
        body.insert("actor".into(), recipient("--actor", actor)?);
    }
    if let Some(tenant) = &args.tenant {
        body.insert("tenant".into(), tenant.as_str().into());
    }
    if let Some(data) = &args.data {
        body.insert("data".into(), json_argument("--data", data)?);
    }
    if let Some(key) = &args.cancellation_key {
        body.insert("cancellation_key".into(), key.as_str().into());
    }
    Ok(Value::Object(body))
}

async fn cancel(args: CancelArgs) -> Result<()> {
    let mut body = json!({"cancellation_key": args.cancellation_key});
    if !args.to.is_empty() {
        let recipients = args.to.iter().map(|text| recipient("--to", text)).collect::<Result<Vec<_>>>()?;
        body["recipients"] = recipients.into();
    }
    say_line!("{}", args.place.server()?.cancel(&args.workflow, &body).await?);
    Ok(())
}

async fn reload(place: Place) -> Result<()> {
    let done = place.server()?.call(Method::POST, "/admin/workflows/reload", None).await?;
    let list = |name: &str| done[name].as_array().cloned().unwrap_or_default();
    for workflow in list("published") {
        say_line!("published {}", workflow["key"].as_str().unwrap_or_default());
    }
    for key in list("removed") {
        say_line!("removed {}", key.as_str().unwrap_or_default());
    }
    say_line!("{} unchanged", list("unchanged").len());
    let faults: Vec<Fault> = list("faults").iter().map(fault).collect();
    faults.iter().for_each(|fault| say_line!("fault: {fault}"));
    if faults.is_empty() { Ok(()) } else { bail!("not everything is published: what is faulty stays as it was") }
}

fn fault(told: &Value) -> Fault {
    let text = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
    Fault { file: text("file"), path: text("path"), problem: text("problem"), fix: text("fix") }
}

/// A recipient: JSON if it looks like an object or is in a file, else an id. Ids may begin with an @, but hardly end so.
fn recipient(flag: &str, text: &str) -> Result<Value> {
    let is_json = text.trim_start().starts_with('{') || text.starts_with('@') && text.ends_with(JSON);
    if is_json || names_file(text) { json_argument(flag, text) } else { Ok(json!(text)) }
}

/// The value of a flag that takes JSON, or @FILE.
fn json_argument(flag: &str, text: &str) -> Result<Value> {
    if names_file(text) {
        bail!("{flag}: {text} is a file; write @{text} to read it");
    }
    let Some(file) = text.strip_prefix('@') else {
        return serde_json::from_str(text)
            .with_context(|| format!("{flag} is not valid JSON (write @FILE to read a file)"));
    };
    let text = std::fs::read_to_string(file).with_context(|| format!("{flag}: {file} cannot be read"))?;
    serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .with_context(|| format!("{flag}: {file} is not valid JSON"))
}

const JSON: &str = ".json";

fn names_file(text: &str) -> bool {
    text.ends_with(JSON) && Path::new(text).is_file()
}
