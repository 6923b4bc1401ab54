//! The preference center: what a person can choose, from what workflows there are, and what a form that was sent back
//! changes of it (`knock-engine.md` section 5.5). Only what was touched is written.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::channel::ChannelType;
use super::preferences::{COMMERCIAL, Persistence, PreferenceSet, PreferenceWrite};
use super::workflow::{StepKind, Workflow};

/// The most switches of a page; what comes behind them cannot be shown on one.
const MAX_CELLS: usize = 500;

/// A line of the page: one thing to be told of, and the ways to be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    pub name: String,
    pub description: Option<String>,
    pub cells: Vec<Cell>,
    #[serde(skip)]
    about: About,
}

/// A switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cell {
    /// What the form calls it.
    pub id: String,
    pub label: String,
    pub on: bool,
    /// It depends on conditions, or others have settled it.
    pub fixed: bool,
    #[serde(skip)]
    channel_type: Option<ChannelType>,
}

impl Row {
    /// The row in the form of Knock's configuration of a preference center.
    pub fn config(&self) -> Value {
        let (kind, identifier) = match &self.about {
            About::Category(name) => ("category", name.as_str()),
            About::Workflow(key) => ("workflow", key.as_str()),
            About::Everything => ("channel_types", "channel_types"),
            About::Commercial => (COMMERCIAL, COMMERCIAL),
        };
        let ways = self.cells.iter().filter_map(|cell| cell.channel_type).map(ChannelType::as_str);
        json!({
            "type": kind,
            "name": self.name,
            "description": self.description,
            "identifier": identifier,
            "channel_types": ways.collect::<Vec<_>>(),
        })
    }
}

/// What a row is about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum About {
    Category(String),
    Workflow(String),
    Everything,
    Commercial,
}

impl About {
    /// Where in a preference set it stands.
    fn path(&self) -> Vec<&str> {
        match self {
            Self::Category(name) => vec!["categories", name],
            Self::Workflow(key) => vec!["workflows", key],
            Self::Everything => Vec::new(),
            Self::Commercial => vec![COMMERCIAL],
        }
    }

    fn id(&self, channel_type: Option<ChannelType>) -> String {
        let mut parts = self.path();
        parts.extend(channel_type.map(ChannelType::as_str));
        parts.join("/")
    }
}

/// What the page says under a key, if it says something.
type Say<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// The rows for a person whose preferences come to `set`: categories, the workflows that are in none, the ways, and
/// commercial messages. Workflows that ask nobody are left out. `say` names what is not named by the workflows, or is
/// otherwise in the person's language.
pub fn rows<'a>(workflows: impl IntoIterator<Item = &'a Workflow>, set: &PreferenceSet, say: &Say<'_>) -> Vec<Row> {
    let (mut categories, mut alone) = (BTreeMap::<&str, BTreeSet<&str>>::new(), Vec::new());
    let (mut everything, mut commercial) = (BTreeSet::new(), set.sections().contains_key(COMMERCIAL));
    for workflow in workflows {
        commercial |= workflow.settings.is_commercial;
        if workflow.settings.override_preferences {
            continue;
        }
        let ways: BTreeSet<&str> = workflow.steps.iter().filter_map(|step| way(&step.kind)).collect();
        everything.extend(ways.iter().copied());
        for category in &workflow.categories {
            categories.entry(category).or_default().extend(ways.iter().copied());
        }
        if workflow.categories.is_empty() {
            alone.push((workflow, ways));
        }
    }
    alone.sort_by_key(|(workflow, _)| (workflow.name.as_str(), workflow.key.as_str()));
    let mut rows = Vec::new();
    let mut add = |name: String, description: Option<String>, about: About, ways: &BTreeSet<&str>| {
        let cells = ways.iter().filter_map(|way| channel_type(way)).map(|way| cell(set, &about, Some(way), say));
        rows.push(Row { name, description, cells: cells.collect(), about });
    };
    for (category, ways) in &categories {
        let said = |what: &str| say(&format!("categories.{category}.{what}"));
        let name = said("name").unwrap_or_else(|| titled(category));
        add(name, said("description"), About::Category((*category).to_owned()), ways);
    }
    for (workflow, ways) in &alone {
        let said = |what: &str| say(&format!("workflows.{}.{what}", workflow.key));
        let written = || workflow.source.get("description").and_then(Value::as_str).map(str::to_owned);
        let description = said("description").or_else(written);
        let written = || if workflow.name.is_empty() { titled(&workflow.key) } else { workflow.name.clone() };
        let name = said("name").unwrap_or_else(written);
        add(name, description, About::Workflow(workflow.key.clone()), ways);
    }
    let said = |what: &str| say(&format!("preferences.{what}"));
    let name = said("everything.name").unwrap_or_default();
    add(name, said("everything.description"), About::Everything, &everything);
    rows.retain(|row| !row.cells.is_empty());
    if commercial {
        let cell = cell(set, &About::Commercial, None, say);
        let (name, description) = (said("commercial.name").unwrap_or_default(), said("commercial.description"));
        rows.push(Row { name, description, cells: vec![cell], about: About::Commercial });
    }
    let mut room = MAX_CELLS;
    rows.retain(|row| {
        room = room.saturating_sub(row.cells.len());
        room > 0
    });
    rows
}

fn way(kind: &StepKind) -> Option<&'static str> {
    match kind {
        StepKind::Channel(channel) => Some(channel.template.channel_type().as_str()),
        _ => None,
    }
}

fn channel_type(name: &str) -> Option<ChannelType> {
    ChannelType::ALL.into_iter().find(|known| known.as_str() == name)
}

/// A key as a person would write it: `new-comments` is "New comments".
fn titled(key: &str) -> String {
    let spaced = key.replace(['-', '_'], " ");
    let mut chars = spaced.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

fn cell(set: &PreferenceSet, about: &About, channel_type: Option<ChannelType>, say: &Say<'_>) -> Cell {
    let (on, fixed) = state(set, about, channel_type);
    let label = match channel_type {
        Some(channel_type) => say(&format!("channel_types.{channel_type}")),
        None => say("preferences.commercial.switch"),
    };
    Cell { id: about.id(channel_type), label: label.unwrap_or_default(), on, fixed, channel_type }
}

/// How a switch stands, and whether it cannot be moved here.
fn state(set: &PreferenceSet, about: &About, channel_type: Option<ChannelType>) -> (bool, bool) {
    let path = about.path();
    let node = match path.split_first() {
        None => None,
        Some((first, rest)) => {
            rest.iter().try_fold(set.sections().get(*first), |node, key| Some(node?.get(*key))).flatten()
        }
    };
    let settled = |map: &Map<String, Value>| map.contains_key("conditions") || map.contains_key("__strategy__");
    let leaf = |value: Option<&Value>| match value {
        None | Some(Value::Null) => (true, false),
        Some(Value::Bool(on)) => (*on, false),
        Some(_) => (true, true),
    };
    let of_way = |map: &Map<String, Value>| {
        let ways = map.get("channel_types").and_then(Value::as_object);
        let way = channel_type.map_or("", ChannelType::as_str);
        let (on, fixed) = leaf(ways.and_then(|ways| ways.get(way)));
        (on, fixed || ways.is_some_and(settled))
    };
    match (node, about) {
        (_, About::Everything) => of_way(set.sections()),
        (node, About::Commercial) => leaf(node),
        (Some(Value::Object(map)), _) => {
            let (on, fixed) = of_way(map);
            (on, fixed || settled(map))
        }
        (node, _) => leaf(node),
    }
}

/// What a form says that was sent back: `shown` with each switch as it stood, `on` with those that are on. `None`: nothing
/// was touched.
pub fn write(rows: &[Row], form: &[(String, String)]) -> Option<PreferenceWrite> {
    let on: BTreeSet<&str> = form.iter().filter(|(name, _)| name == "on").map(|(_, id)| id.as_str()).collect();
    let shown = form.iter().filter(|(name, _)| name == "shown");
    let shown = shown.filter_map(|(_, text)| Some((text.get(1..)?, text.starts_with('1'))));
    let touched: BTreeMap<&str, bool> =
        shown.filter(|(id, was)| on.contains(id) != *was).map(|(id, was)| (id, !was)).collect();
    let mut set = Map::new();
    for row in rows {
        let moved = |cell: &&Cell| !cell.fixed && touched.contains_key(cell.id.as_str());
        if !row.cells.iter().any(|cell| moved(&cell)) {
            continue;
        }
        let now = |cell: &Cell| touched.get(cell.id.as_str()).copied().unwrap_or(cell.on);
        if row.about == About::Commercial {
            set.insert(COMMERCIAL.into(), row.cells.iter().any(now).into());
            continue;
        }
        // All of a row: what was one `false` for all ways becomes a setting for each. Of everything, each stands alone.
        let whole = row.about != About::Everything;
        let cells = row.cells.iter().filter(|cell| !cell.fixed && (whole || moved(cell)));
        let ways = cells.filter_map(|cell| Some((cell.channel_type?.as_str().to_owned(), json!(now(cell)))));
        let mut node = json!({"channel_types": Value::Object(ways.collect())});
        match row.about.path().as_slice() {
            [section, key] => {
                let section = set.entry(*section).or_insert_with(|| json!({}));
                section[*key] = node.take();
            }
            _ => drop(set.insert("channel_types".into(), node["channel_types"].take())),
        }
    }
    (!set.is_empty()).then(|| merge(Value::Object(set)))
}

/// A write that ends commercial messages.
pub fn unsubscribe() -> PreferenceWrite {
    merge(json!({COMMERCIAL: false}))
}

fn merge(set: Value) -> PreferenceWrite {
    PreferenceWrite::from_json("", &set, Persistence::Merge, &mut Vec::new())
}

#[cfg(test)]
mod tests {
    use super::super::workflow::Settings;
    use super::super::workflow_sample::{self, document};
    use super::*;

    fn set(value: Value) -> PreferenceSet {
        let mut errors = Vec::new();
        let set = PreferenceSet::from_json("", &value, &mut errors);
        assert_eq!(errors, []);
        set
    }

    /// A workflow with an email and an item.
    fn workflow(key: &str, categories: &[&str]) -> Workflow {
        Workflow {
            key: key.into(),
            name: String::new(),
            categories: categories.iter().map(|name| (*name).to_owned()).collect(),
            settings: Settings::default(),
            source: Value::Null,
            ..workflow_sample::workflow(&document())
        }
    }

    fn shown(rows: &[Row]) -> Vec<String> {
        let cell = |cell: &Cell| {
            format!("{}{}{}", cell.id, if cell.on { "+" } else { "-" }, if cell.fixed { "!" } else { "" })
        };
        rows.iter().flat_map(|row| row.cells.iter().map(cell)).collect()
    }

    /// The form that a browser sends of `rows` once the switches called `flip` were moved.
    fn form(rows: &[Row], flip: &[&str]) -> Vec<(String, String)> {
        let mut form = Vec::new();
        for cell in rows.iter().flat_map(|row| &row.cells).filter(|cell| !cell.fixed) {
            form.push(("shown".to_owned(), format!("{}{}", u8::from(cell.on), cell.id)));
            if cell.on != flip.contains(&cell.id.as_str()) {
                form.push(("on".to_owned(), cell.id.clone()));
            }
        }
        form
    }

    fn after(before: &PreferenceSet, workflows: &[Workflow], flip: &[&str]) -> Value {
        let rows = rows(workflows, before, &|_| None);
        let write = write(&rows, &form(&rows, flip)).unwrap();
        write.apply(Some(before.clone())).unwrap_or_default().to_json("default")
    }

    #[test]
    fn there_is_a_row_for_each_category_each_workflow_without_one_all_ways_and_what_is_commercial() {
        let mut workflows = vec![workflow("a", &["team", "team-news"]), workflow("b", &[]), workflow("c", &[])];
        workflows[2].settings.override_preferences = true;
        let before =
            set(json!({"categories": {"team": false}, "workflows": {"b": {"channel_types": {"email": false}}}}));
        let expected = [
            "categories/team/email-",
            "categories/team/in_app_feed-",
            "categories/team-news/email+",
            "categories/team-news/in_app_feed+",
            "workflows/b/email-",
            "workflows/b/in_app_feed+",
            "email+",
            "in_app_feed+",
        ];
        assert_eq!(shown(&rows(&workflows, &before, &|_| None)), expected);
        workflows[2].settings.is_commercial = true;
        assert_eq!(shown(&rows(&workflows, &before, &|_| None)).last().unwrap(), "commercial_subscribed+");
        assert_eq!(rows(&workflows, &before, &|_| None)[1].name, "Team news");
    }

    #[test]
    fn what_depends_on_conditions_or_is_settled_by_others_cannot_be_moved() {
        let conditions = json!([{"variable": "data.a", "operator": "exists"}]);
        let before = set(json!({
            "categories": {"a": {"conditions": conditions}, "b": {"channel_types": {"email": {"conditions": conditions}}},
                           "c": {"__strategy__": "replace", "channel_types": {"email": false}}},
        }));
        let workflows = [workflow("w", &["a", "b", "c"])];
        let rows = rows(&workflows, &before, &|_| None);
        assert_eq!(
            shown(&rows)[..6],
            [
                "categories/a/email+!",
                "categories/a/in_app_feed+!",
                "categories/b/email+!",
                "categories/b/in_app_feed+",
                "categories/c/email-!",
                "categories/c/in_app_feed+!",
            ]
        );
        let forged = [("shown".to_owned(), "1categories/a/email".to_owned()), ("shown".to_owned(), "1x/y".to_owned())];
        assert_eq!(write(&rows, &forged), None);
    }

    #[test]
    fn only_what_was_touched_is_written_and_one_no_for_all_ways_becomes_one_for_each() {
        let workflows = [workflow("a", &["team"]), workflow("b", &[])];
        let before = set(json!({"categories": {"team": false, "other": false}, "channel_types": {"sms": false}}));
        let set = after(&before, &workflows, &["categories/team/email"]);
        let team = json!({"team": {"channel_types": {"email": true, "in_app_feed": false}}, "other": false});
        assert_eq!((&set["categories"], &set["workflows"]), (&team, &Value::Null));
        let set = after(&before, &workflows, &["email", "workflows/b/in_app_feed"]);
        assert_eq!(set["channel_types"], json!({"sms": false, "email": false}));
        assert_eq!(set["workflows"]["b"], json!({"channel_types": {"email": true, "in_app_feed": false}}));
        assert_eq!(set["categories"], json!({"team": false, "other": false}));
        let rows = rows(&workflows, &before, &|_| None);
        assert_eq!(write(&rows, &form(&rows, &[])), None);
    }

    #[test]
    fn a_person_can_subscribe_again() {
        let mut news = workflow("news", &[]);
        news.settings.is_commercial = true;
        let before = unsubscribe().apply(None).unwrap();
        assert_eq!(before.to_json("default")["commercial_subscribed"], json!(false));
        let workflows = [news];
        assert_eq!(after(&before, &workflows, &["commercial_subscribed"])["commercial_subscribed"], json!(true));
    }
}
