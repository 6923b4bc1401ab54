//! The settings of a batch step: which runs of a recipient become one, until when, and what of them is rendered
//! (`knock-engine.md` sections 1.4 and 3.2).

use serde::{Deserialize, Serialize};

use super::duration::Duration;
use super::json_reader::Reader;
use super::moment::{Moment, read_duration, read_whole_number};
use super::step_file::read_settings;
use super::step_key::Key;

/// The longest window, in days.
pub const MAX_DAYS: i64 = 365;
/// The bounds of `batch_items_max_limit`.
const ITEMS: (i64, i64) = (2, 1_000);
/// The bounds of `batch_items_render_limit`, and what it is in a file that does not say.
const RENDERED: (i64, i64) = (1, 100);
const RENDERED_BY_DEFAULT: u32 = 10;

/// A batch: runs of one recipient that go on as one.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Until when it collects, counted from the run that opens it.
    pub window: Moment,
    /// A run that joins puts the end off by a whole window, until at most so long after the opening. `None`: the end
    /// stands.
    pub extension: Option<Duration>,
    /// Runs that find different values are of different batches.
    pub key: Option<Key>,
    pub order: Order,
    pub mode: Mode,
    /// It closes when it has so many items.
    pub max_items: Option<u32>,
    /// How many activities templates see.
    pub rendered: u32,
    pub follows: Follows,
}

/// Which activities templates see when there are more than are rendered; those in the order in which they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    First,
    Last,
}

/// What becomes of the run that opens a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It waits, and is the first item.
    Accumulate,
    /// It goes on at once, alone; the batch is of those that come after it.
    FlushLeading,
}

/// Which version of the workflow a closed batch goes on with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follows {
    /// The one that is current then, if it still has the step.
    Latest,
    /// The one that its runs were triggered with; those of another version are of another batch.
    Pinned,
}

/// The setting that can be a template.
pub const BATCH_KEY: &str = "batch_key";

const KEYS: [&str; 10] = [
    BATCH_KEY,
    "batch_window",
    "batch_until_field_path",
    "batch_window_type",
    "batch_window_extension_limit",
    "batch_order",
    "batch_execution_mode",
    "batch_items_max_limit",
    "batch_items_render_limit",
    "workflow_version_mode",
];

/// The batch step at `step`. None after a fault.
pub fn read_batch(step: &Reader<'_>) -> Option<Batch> {
    const FORM: &str = r#"Write {"batch_window": {"unit": "minutes", "value": 5}, "batch_window_type": "fixed"}."#;
    let settings = read_settings(step, FORM, &KEYS)?;
    let window = Moment::read(&settings, "batch_window", "batch_until_field_path", MAX_DAYS);
    let extension = read_extension(&settings);
    let key = Key::read(&settings.field(BATCH_KEY), BATCH_KEY);
    let field = |name| settings.field(name);
    let order = field("batch_order").choice(&[("asc", Order::First), ("desc", Order::Last)]);
    let modes = [("accumulate", Mode::Accumulate), ("flush_leading", Mode::FlushLeading)];
    let mode = field("batch_execution_mode").choice(&modes);
    let max_items = read_limit(&field("batch_items_max_limit"), ITEMS);
    let rendered = read_limit(&field("batch_items_render_limit"), RENDERED);
    // A file without it was written before there was a choice.
    let follows = field("workflow_version_mode").choice(&[("pinned", Follows::Pinned), ("latest", Follows::Latest)]);
    Some(Batch {
        window: window?,
        extension: extension?,
        key: key?,
        order: order?,
        mode: mode?,
        max_items: max_items?,
        rendered: rendered?.unwrap_or(RENDERED_BY_DEFAULT),
        follows: follows?,
    })
}

/// How long a sliding window can become; `Some(None)`: it is fixed. None after a fault.
fn read_extension(settings: &Reader<'_>) -> Option<Option<Duration>> {
    let sliding = settings.field("batch_window_type").choice(&[("fixed", false), ("sliding", true)])?;
    let limit = settings.field("batch_window_extension_limit");
    match (sliding, limit.is_blank()) {
        (true, false) => read_duration(&limit, MAX_DAYS, 1).map(Some),
        (true, true) => {
            limit.missing(
                r#"A sliding window needs it: write how long it can become, as in {"unit": "hours", "value": 1}."#,
            );
            None
        }
        (false, _) => {
            if !limit.is_blank() {
                limit.notice(
                    "has no effect: the window is fixed",
                    "Write \"batch_window_type\": \"sliding\", or remove it.",
                );
            }
            Some(None)
        }
    }
}

/// The number at `field`, which lies within `bounds`; `Some(None)`: there is none. None after a fault.
fn read_limit(field: &Reader<'_>, (least, most): (i64, i64)) -> Option<Option<u32>> {
    if field.value().is_none() {
        return Some(None);
    }
    let number = read_whole_number(field)?;
    let limit = u32::try_from(number).ok().filter(|_| (least..=most).contains(&number));
    if limit.is_none() {
        field.fault(format!("{number} is not a limit"), format!("Write a whole number from {least} to {most}."));
    }
    limit.map(Some)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::duration::Unit;
    use super::super::workflow::StepKind;
    use super::super::workflow_sample::*;
    use super::*;

    fn batched(settings: Value) -> Value {
        with("/steps/1", json!({"ref": "batch_1", "type": "batch", "settings": settings}))
    }

    fn read(settings: Value) -> Batch {
        match workflow(&batched(settings)).steps[1].kind.clone() {
            StepKind::Batch(batch) => batch,
            other => panic!("{other:?}"),
        }
    }

    fn minutes(value: i64) -> Value {
        json!({"unit": "minutes", "value": value})
    }

    #[test]
    fn a_batch_is_fixed_and_renders_its_first_ten_unless_it_says_more() {
        let expected = Batch {
            window: Moment::After(Duration { unit: Unit::Minutes, value: 5 }),
            extension: None,
            key: None,
            order: Order::First,
            mode: Mode::Accumulate,
            max_items: None,
            rendered: 10,
            follows: Follows::Pinned,
        };
        assert_eq!(read(json!({"batch_window": minutes(5)})), expected);
        assert_eq!(read(json!({"batch_window": minutes(5), "batch_key": "", "batch_window_type": "fixed"})), expected);
    }

    #[test]
    fn every_setting_is_read() {
        let batch = read(json!({
            "batch_key": "page_id", "batch_until_field_path": "recipient.digest", "batch_window": minutes(-5),
            "batch_window_type": "sliding", "batch_window_extension_limit": minutes(15), "batch_order": "desc",
            "batch_items_max_limit": 50, "batch_items_render_limit": 100, "batch_execution_mode": "flush_leading",
            "workflow_version_mode": "latest",
        }));
        assert!(matches!(batch.window, Moment::At { offset: Some(_), .. }));
        assert!(matches!(batch.key, Some(Key::Path(path)) if path.as_str() == "data.page_id"));
        assert_eq!(batch.extension, Some(Duration { unit: Unit::Minutes, value: 15 }));
        assert_eq!((batch.order, batch.mode, batch.follows), (Order::Last, Mode::FlushLeading, Follows::Latest));
        assert_eq!((batch.max_items, batch.rendered), (Some(50), 100));
        let batch = read(json!({"batch_window": minutes(5), "batch_key": "{{ data.kind }}-{{ actor.id }}"}));
        assert!(matches!(batch.key, Some(Key::Template(_))));
    }

    #[test]
    fn each_fault_names_its_field_and_the_way_out() {
        let with = |name: &str, value: Value| {
            let mut settings = json!({"batch_window": minutes(5)});
            settings[name] = value;
            settings
        };
        for (settings, expected) in [
            (json!(null), "settings: is null"),
            (json!({}), "batch_window: is missing"),
            (with("batch_window", minutes(0)), "batch_window.value: 0 is not a time to wait"),
            (with("batch_window", json!({"unit": "days", "value": 366})), "366 days are longer than 365 days"),
            (
                with("batch_window_type", json!("slidin")),
                "batch_window_type: \"slidin\" is not known. Did you mean \"sliding\"?",
            ),
            (
                with("batch_window_type", json!("sliding")),
                "batch_window_extension_limit: is missing. A sliding window needs it",
            ),
            (with("batch_order", json!("up")), "batch_order: \"up\" is not known"),
            (with("batch_execution_mode", json!(7)), "batch_execution_mode: 7 is not a string"),
            (
                with("batch_items_max_limit", json!(1)),
                "batch_items_max_limit: 1 is not a limit. Write a whole number from 2 to 1000.",
            ),
            (with("batch_items_max_limit", json!(1_001)), "1001 is not a limit"),
            (with("batch_items_render_limit", json!(101)), "Write a whole number from 1 to 100."),
            (with("batch_items_render_limit", json!("5")), "\"5\" is not a whole number"),
            (with("workflow_version_mode", json!("newest")), "Write one of \"pinned\", \"latest\"."),
        ] {
            let text = fault(&batched(settings));
            assert!(text.starts_with("steps[1].settings") && text.contains(expected), "{text} has not {expected}");
        }
        let idle = with("batch_window_extension_limit", minutes(5));
        assert!(notice(&batched(idle)).contains("has no effect: the window is fixed"));
        let mut two = batched(json!({"batch_window": minutes(5)}));
        two["steps"][2] = two["steps"][1].clone();
        two["steps"][2]["ref"] = json!("batch_2");
        assert!(notice(&two).starts_with("steps[2]: comes behind another batch"));
    }
}
