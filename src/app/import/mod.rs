//! `belfry import knock`: takes over a directory that was pulled from Knock. What it holds is copied file by file, adapted
//! where it must be, and then read by the very code that a server reads it with: the report is what that code found.

mod pulled;
mod report;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;

use self::pulled::{Kind, Resource};
use self::report::Report;
use super::server::{self, CheckedWorkflows};
use super::{cli, stand_in, vars, workflow_dir};
use crate::app::console::{say, say_line};
use crate::base::config::{Config, Overrides};
use crate::model::channel::ChannelType;
use crate::model::json_place;
use crate::model::workflow::DOCUMENT;

/// `belfry import knock`.
#[derive(Args)]
pub struct Knock {
    /// What was pulled from Knock
    dir: PathBuf,
    /// Where to write; workflows go into the folder `workflows` there
    #[arg(long, value_name = "DIR", default_value = "config")]
    to: PathBuf,
    /// Only report, and exit with 1 if something is not supported
    #[arg(long)]
    check: bool,
    /// Replace files that differ
    #[arg(long)]
    overwrite: bool,
    /// The configuration file, for the channels [default: belfry.toml, else that of `belfry dev`]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Imports, or only reports.
pub fn knock(args: &Knock) -> Result<()> {
    let found = pulled::read(&args.dir)?;
    let taken: Vec<Resource> = found.resources.iter().map(adapt).collect();
    let file = cli::file_or_default(args.config.clone());
    let config = match &file {
        Some(file) => Config::load(Some(file), &Overrides::default())?,
        None => Config::load_dev(&Overrides::default())?,
    };
    // The vars of a developer's server are examples.
    let set = file.is_some().then_some(&config.vars);
    let texts = taken.iter().flat_map(|resource| resource.files.keys().filter_map(|name| resource.text(name)));
    let unset = vars::missing(texts, |name| set.is_some_and(|set| set.contains_key(name)));
    let (checked, missing) = check(&taken, config)?;
    let report = Report::of(&found, &taken, &checked);
    say!("{report}");
    if !missing.is_empty() {
        say_line!("\nNot configured yet; `belfry dev` makes them up and captures their mail. For belfry.toml:\n");
        say!("{}", stand_in::to_toml(&missing));
    }
    if !unset.is_empty() {
        say_line!("\nNot set yet, so nothing stands where templates print them. For belfry.toml:\n");
        say!("{}", vars::to_toml(&unset));
    }
    if args.check {
        return match report.unsupported() {
            0 => Ok(()),
            1 => bail!("1 thing in {} is not supported", args.dir.display()),
            count => bail!("{count} things in {} are not supported", args.dir.display()),
        };
    }
    let written = write(&taken, &args.to, args.overwrite)?;
    say_line!("\n{written} files written under {}", args.to.display());
    say_line!("Next: belfry workflow validate {}", args.to.join(Kind::Workflow.folder()).display());
    Ok(())
}

/// What stands here in Belfry's directory: the same, and of a workflow also in which language its templates are, since
/// Belfry has two.
fn adapt(resource: &Resource) -> Resource {
    let mut adapted = resource.clone();
    if resource.kind == Kind::Workflow
        && let Some(text) = adapted.files.get(DOCUMENT).and_then(|bytes| std::str::from_utf8(bytes).ok())
        && let Some(text) = with_language(text)
    {
        adapted.files.insert(DOCUMENT.to_owned(), text.into_bytes());
    }
    adapted
}

/// A workflow's document with the language of its templates recorded. None if it names one, or is no document.
fn with_language(text: &str) -> Option<String> {
    const SETTINGS: &str = "{\"template_engine\": \"liquid\"}";
    let document: Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).ok()?;
    match document.as_object()?.get("settings") {
        None => json_place::with_field(text, "", "settings", SETTINGS),
        Some(Value::Object(_)) => json_place::with_field(text, "settings", "template_engine", "\"liquid\""),
        Some(Value::Null) => {
            let null = json_place::span(text, "settings")?;
            Some(format!("{}{SETTINGS}{}", &text[..null.start], &text[null.end..]))
        }
        Some(_) => None,
    }
}

/// Reads what was taken as a server would. Channels that nobody configured are made up: they are answered.
fn check(taken: &[Resource], mut config: Config) -> Result<(CheckedWorkflows, BTreeMap<String, ChannelType>)> {
    let stage = tempfile::tempdir().context("a temporary folder is needed to read the workflows in")?;
    write(taken, stage.path(), false)?;
    config.workflows.dir = stage.path().join(Kind::Workflow.folder());
    config.workflows.layouts_dir = stage.path().join(Kind::Layout.folder());
    config.workflows.partials_dir = stage.path().join(Kind::Partial.folder());
    config.workflows.translations_dir = stage.path().join(Kind::Translation.folder());
    fs::create_dir_all(&config.workflows.dir)?;
    let (workflows, _) = workflow_dir::read(&config.workflows.dir);
    let missing = stand_in::missing(&config, &workflows);
    stand_in::make_up(&mut config, &workflows);
    Ok((server::check_workflows(&config), missing))
}

/// Writes all files under `to`, or none if that would replace what differs. Answers how many there are.
fn write(resources: &[Resource], to: &Path, overwrite: bool) -> Result<usize> {
    let files: Vec<(PathBuf, &Vec<u8>)> = resources
        .iter()
        .flat_map(|resource| {
            let folder = to.join(resource.place());
            resource.files.iter().map(move |(name, bytes)| (folder.join(name), bytes))
        })
        .collect();
    let differs = |path: &Path, bytes: &[u8]| fs::read(path).is_ok_and(|there| there != bytes);
    if let Some((path, _)) = files.iter().find(|(path, bytes)| !overwrite && differs(path, bytes)) {
        bail!(
            "{} is there already and differs, so nothing was written. \
             Write elsewhere with --to, or replace what differs with --overwrite",
            path.display()
        );
    }
    for (path, bytes) in &files {
        let unwritable = || format!("{} cannot be written", path.display());
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).with_context(unwritable)?;
        }
        fs::write(path, bytes).with_context(unwritable)?;
    }
    Ok(files.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_language_is_recorded_once_and_nothing_else_changes() {
        let cases = [
            ("{\n  \"name\": \"x\"\n}", "{\n  \"settings\": {\"template_engine\": \"liquid\"},\n  \"name\": \"x\"\n}"),
            ("{\"settings\": {}}", "{\"settings\": {\"template_engine\": \"liquid\"}}"),
            ("{\"settings\": null, \"a\": 1}", "{\"settings\": {\"template_engine\": \"liquid\"}, \"a\": 1}"),
            (
                "{\"settings\": { \"is_commercial\": true}}",
                "{\"settings\": { \"template_engine\": \"liquid\", \"is_commercial\": true}}",
            ),
        ];
        for (text, expected) in cases {
            let adapted = with_language(text).unwrap();
            assert_eq!(adapted, expected);
            assert_eq!(with_language(&adapted), None, "a second import changes nothing");
        }
        let named = "{\"settings\": {\"template_engine\": \"handlebars\"}}";
        for kept in [named, "[]", "{\"settings\": 1}", "not JSON"] {
            assert_eq!(with_language(kept), None, "{kept}");
        }
    }

    /// Files of resources and of none: whole, torn, and no text at all.
    fn any_files() -> impl Strategy<Value = BTreeMap<&'static str, Vec<u8>>> {
        const NAMES: [&str; 15] = [
            "workflows/a/workflow.json",
            "workflows/a/email_1/html_body.html",
            "workflows/b/workflow.json",
            "workflows/notes.txt",
            "layouts/l/layout.json",
            "partials/p/partial.json",
            "partials/p/content.html",
            "translations/en/en.json",
            "translations/README",
            "guides/g/guide.json",
            "message-types/m/message_type.json",
            "audiences/x/audience.json",
            "commits/c.json",
            "LICENSE",
            "src/a/b.rs",
        ];
        const DOCUMENTS: [&str; 6] = [
            "{\"name\": \"A\", \"unknown\": [1, {\"a\": null}], \"steps\": []}",
            "{\"settings\": {\"is_commercial\": true}, \"x@\": \"y\"}",
            "{\"settings\": null}",
            "{\"settings\": {\"template_engine\": \"handlebars\"}}",
            "\u{feff}{\n}",
            "{\"content@\": \"content.html\", \"type\": \"html\"}",
        ];
        let document = prop::sample::select(DOCUMENTS.to_vec()).prop_map(|text| text.as_bytes().to_vec());
        let bytes =
            prop_oneof![4 => document, 1 => "[ -~\n]{0,30}".prop_map(String::into_bytes), 1 => any::<Vec<u8>>()];
        prop::collection::btree_map(prop::sample::select(NAMES.to_vec()), bytes, 1..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn every_file_is_copied_with_all_its_fields_or_named_in_the_report(files in any_files()) {
            let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            for (name, bytes) in &files {
                let path = from.path().join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, bytes).unwrap();
            }
            // Of strays alone there is nothing to import, and that is said.
            let Ok(found) = pulled::read(from.path()) else { return Ok(()) };
            let taken: Vec<Resource> = found.resources.iter().map(adapt).collect();
            let config = Config::from_layers(Some(Config::DEV), [], &Overrides::default()).unwrap();
            let report = Report::of(&found, &taken, &check(&taken, config).unwrap().0).to_string();
            write(&taken, to.path(), false).unwrap();
            let parsed = |bytes: &[u8]| -> Value {
                serde_json::from_str(std::str::from_utf8(bytes).unwrap().trim_start_matches('\u{feff}')).unwrap()
            };
            for (name, bytes) in &files {
                match fs::read(to.path().join(name)) {
                    Ok(copied) if copied == *bytes => {}
                    Ok(copied) => {
                        let mut expected = parsed(bytes);
                        if expected["settings"].is_null() {
                            expected["settings"] = serde_json::json!({});
                        }
                        expected["settings"]["template_engine"] = "liquid".into();
                        prop_assert_eq!(parsed(&copied), expected, "{}", name);
                    }
                    Err(_) => {
                        let is_named = |place: &Path| report.contains(&format!("left         {}: ", place.display()));
                        prop_assert!(Path::new(name).ancestors().any(is_named), "{} is not in\n{}", name, report);
                    }
                }
            }
        }
    }
}
