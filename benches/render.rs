//! What rendering costs: one template in each language, parsed anew for each rendering (cold) and once (cached), and a
//! whole email: visual blocks in the default layout, style sheets inlined, text made.
//!
//! All kinds take turns in one run, so that a noisy machine troubles all alike. Read the ratios, which are to the cached
//! Liquid template of the same round: how much dearer the same text is in Handlebars, what parsing adds, and how many
//! such texts an email is worth. Renderings a second say as much about the machine.
//!
//! Last measured on two quiet cores, ratio (least to greatest of 15 rounds) and renderings a second:
//!
//!   liquid        cached   1.00                      60,600    cold    2.65 (2.59 to 2.72)     22,900
//!   handlebars    cached   1.26 (1.21 to 1.28)       48,300    cold    4.58 (4.45 to 4.68)     13,300
//!   email         cached  14.07 (13.69 to 14.45)      4,300    cold   20.67 (20.12 to 21.36)    2,900
//!
//! `BENCH_ROUNDS` sets how often they take turns, `BENCH_QUICK=1` (or `cargo test`) makes a smoke run.

mod figures;

use std::collections::BTreeMap;
use std::hint::black_box;

use anyhow::{Result, anyhow};
use belfry::base::clock::Stopwatch;
use belfry::engine::catalog::{Catalog, Published};
use belfry::model::channel::ChannelType;
use belfry::model::workflow::Engine;
use belfry::model::workflow_file::WorkflowFiles;
use serde_json::{Value, json};

use figures::{Spread, is_quick, setting};

/// The same text in both languages: a condition, a loop over ten items, helpers.
const LIQUID: &str = "{% if total > 1 %}**{{ actor.name | split: \" \" | first }}** left {{ total }} {{ total | pluralize: \
                      \"comment\", \"comments\" }}{% endif %}{% for item in items %}\n- {{ item.title | truncate: 20 }}{% endfor %}";
const HANDLEBARS: &str = "{{#if (gt total 1)}}**{{first (split actor.name \" \")}}** left {{total}} {{pluralize total \"comment\" \
                          \"comments\"}}{{/if}}{{#each items}}\n- {{truncate title 20}}{{/each}}";

fn main() -> Result<()> {
    let quick = is_quick();
    let rounds = setting("BENCH_ROUNDS", if quick { 1 } else { 15 });
    let each = if quick { 2 } else { 200 };
    let catalog = catalog();
    let item = |engine: &str, text: &str| {
        json!([{"ref": "s", "type": "channel", "channel_key": "feed",
                "template": {"template_engine": engine, "markdown_body": text}}])
    };
    let (liquid, handlebars) = (item("liquid", LIQUID), item("handlebars", HANDLEBARS));
    let email = json!([{"ref": "s", "type": "channel", "channel_key": "email", "template": {
        "subject": "{{ total }} news", "template_engine": "liquid", "visual_blocks": [
            {"type": "markdown", "content": LIQUID}, {"type": "divider"},
            {"type": "button_set", "buttons": [{"label": "Open", "action": "{{ vars.app_url }}/x"}]}]}}]);
    let kinds = [
        ("liquid, cached", &liquid, false),
        ("liquid, cold", &liquid, true),
        ("handlebars, cached", &handlebars, false),
        ("handlebars, cold", &handlebars, true),
        ("email, cached", &email, false),
        ("email, cold", &email, true),
    ];
    let mut taken: Vec<Vec<f64>> = vec![Vec::new(); kinds.len()];
    for round in 0..=rounds {
        for (index, (_, steps, cold)) in kinds.iter().enumerate() {
            let seconds = measure(&catalog, steps, *cold, each)?;
            // The first round fills caches.
            if round > 0 {
                taken[index].push(seconds / f64::from(each));
            }
        }
    }
    println!("{:<20} {:>14} {:>8}  {:<16}", "", "renderings/s", "ratio", "spread");
    for (index, (name, ..)) in kinds.iter().enumerate() {
        let ratio = Spread::of(taken[index].iter().zip(&taken[0]).map(|(own, base)| own / base).collect());
        let rate = 1.0 / Spread::of(taken[index].clone()).middle;
        println!("{name:<20} {rate:>14.0} {:>8.2}  {:<16}", ratio.middle, ratio.range());
    }
    println!("\nratio: the time of one rendering against that of the first row, the median of {rounds} rounds.");
    Ok(())
}

fn catalog() -> Catalog {
    let channels = [("feed", ChannelType::InAppFeed), ("email", ChannelType::Email)];
    Catalog::new(channels.map(|(key, kind)| (key.to_owned(), kind)).into(), Engine::Liquid)
}

fn published(catalog: &Catalog, steps: &Value) -> Result<Published> {
    let document = json!({"name": "Bench", "steps": steps}).to_string();
    let files = BTreeMap::from([("workflow.json".to_owned(), document)]);
    let checked = catalog.check(&WorkflowFiles { key: "bench".to_owned(), files });
    checked.map(|checked| checked.published).map_err(|faults| anyhow!("{faults:?}"))
}

/// Seconds for `count` renderings.
fn measure(catalog: &Catalog, steps: &Value, cold: bool, count: u32) -> Result<f64> {
    let is_email = steps[0]["channel_key"] == "email";
    let scope = scope();
    let mut ready = published(catalog, steps)?;
    let watch = Stopwatch::start();
    for _ in 0..count {
        if cold {
            ready = published(catalog, steps)?;
        }
        if is_email {
            black_box(ready.templates.email("s", scope.clone())?);
        } else {
            black_box(ready.templates.in_app("s", scope.clone())?);
        }
    }
    Ok(watch.elapsed().as_secs_f64())
}

fn scope() -> Value {
    let items: Vec<Value> = (0..10).map(|n| json!({"title": format!("An item with the number {n}")})).collect();
    json!({
        "actor": {"name": "Ada Lovelace"}, "total": 3, "items": items,
        "vars": {"app_name": "Acme", "app_url": "https://app.example"}, "recipient": {"id": "u"},
    })
}
