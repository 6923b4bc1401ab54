//! The visual blocks of an email: what its body is made of when it is not one text of HTML.

use serde_json::{Map, Value};

use super::json_reader::{Reader, shown, shown_text};
use crate::base::nearest::{did_you_mean, nearest, quoted_list};

/// A block, one below the other.
#[derive(Clone, Debug, PartialEq)]
pub struct VisualBlock {
    pub padding: Padding,
    pub kind: BlockKind,
}

/// The room around a block, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Padding {
    pub top: u16,
    pub right: u16,
    pub bottom: u16,
    pub left: u16,
}

/// What a block shows. All texts are templates.
#[derive(Clone, Debug, PartialEq)]
pub enum BlockKind {
    Markdown {
        content: String,
    },
    Html {
        content: String,
    },
    ButtonSet(ButtonSet),
    Image(Image),
    Divider,
    /// A partial, with what it is given: texts in it are templates.
    Partial {
        key: String,
        attrs: Map<String, Value>,
    },
    Row(Row),
}

/// Buttons beside each other.
#[derive(Clone, Debug, PartialEq)]
pub struct ButtonSet {
    pub buttons: Vec<BlockButton>,
    /// The room between two, in pixels.
    pub gap: u16,
    pub align: Align,
}

/// A button of a block; `label` and `action` are templates.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockButton {
    pub label: String,
    pub action: String,
    pub outline: bool,
    pub size: ButtonSize,
    pub full_width: bool,
    pub background: Option<Colour>,
    pub text: Option<Colour>,
    pub border: Option<Colour>,
    pub radius: Option<u16>,
    pub border_width: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ButtonSize {
    Small,
    Medium,
    Large,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    Left,
    Center,
    Right,
}

/// A colour of the brand, or one that is written out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Colour {
    Primary,
    PrimaryContrast,
    Fixed(String),
}

/// An image; `url`, `alt` and `action` are templates.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    pub url: String,
    pub alt: String,
    /// Where a click on it leads.
    pub action: Option<String>,
    /// `50%` or `240px`; its own when absent.
    pub width: Option<String>,
    pub align: Align,
}

/// Columns of the same width, which stand below each other where there is little room.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub columns: Vec<Vec<VisualBlock>>,
    /// The room between two, in pixels.
    pub gap: u16,
}

/// The most blocks of an email, and of a column.
const MAX_BLOCKS: usize = 100;
/// The most buttons of a set.
const MAX_BUTTONS: usize = 10;
/// The most columns of a row.
const MAX_COLUMNS: usize = 4;
/// The largest measure, in pixels.
const MAX_PIXELS: u64 = 1_000;
/// The padding where none is written: that of every block which Knock's editor makes.
const PADDING: Padding = Padding { top: 8, right: 4, bottom: 8, left: 4 };

const TYPES: [&str; 7] = ["markdown", "html", "button_set", "image", "divider", "partial", "row"];
const COMMON_KEYS: [&str; 4] = ["type", "version", "id", "layout_attrs"];
const ALIGNS: [(&str, Align); 3] = [("left", Align::Left), ("center", Align::Center), ("right", Align::Right)];
const SIZES: [(&str, ButtonSize); 3] =
    [("sm", ButtonSize::Small), ("md", ButtonSize::Medium), ("lg", ButtonSize::Large)];
const VARIANTS: [(&str, bool); 2] = [("solid", false), ("outline", true)];

/// The blocks at `field`. None after a fault.
pub fn read_blocks(field: &Reader<'_>) -> Option<Vec<VisualBlock>> {
    read_column(field, true)
}

fn read_column(field: &Reader<'_>, with_rows: bool) -> Option<Vec<VisualBlock>> {
    let items = field.items()?;
    if items.len() > MAX_BLOCKS {
        field.fault(format!("has {} blocks", items.len()), format!("Use at most {MAX_BLOCKS}."));
        return None;
    }
    // Each is read before the first failure ends the collecting.
    let blocks: Vec<_> = items.iter().map(|block| read_block(block, with_rows)).collect();
    blocks.into_iter().collect()
}

fn read_block(block: &Reader<'_>, with_rows: bool) -> Option<VisualBlock> {
    if block.value().is_none() {
        block.missing("Write an object with a type.");
        return None;
    }
    block.object()?;
    let name = block.field("type").required_text(&format!("Write one of {}.", quoted_list(&TYPES)))?;
    let layout = block.field("layout_attrs");
    let padding = read_padding(&layout);
    let known = |own: &[&'static str]| block.expect_keys(&[COMMON_KEYS.as_slice(), own].concat());
    let content = || block.field("content").required_text("Write its text, or content@ with the path of a file.");
    let kind = match name {
        "markdown" => {
            known(&["content", "variant"]);
            BlockKind::Markdown { content: content()?.to_owned() }
        }
        "html" => {
            known(&["content"]);
            BlockKind::Html { content: content()?.to_owned() }
        }
        "button_set" => {
            known(&["buttons"]);
            BlockKind::ButtonSet(read_button_set(block, &layout)?)
        }
        "image" => {
            known(&["url", "alt", "action", "style_attrs"]);
            BlockKind::Image(read_image(block, &layout)?)
        }
        "divider" => {
            known(&[]);
            BlockKind::Divider
        }
        "partial" => {
            known(&["key", "name", "attrs"]);
            let key = block.field("key").required_name("Write the key of a partial: the name of its directory.")?;
            BlockKind::Partial {
                key: key.to_owned(),
                attrs: block.field("attrs").object().cloned().unwrap_or_default(),
            }
        }
        "row" if with_rows => {
            known(&["columns"]);
            BlockKind::Row(read_row(block, &layout)?)
        }
        "row" => {
            block.field("type").fault("is a row inside a row", "Put its blocks into the column.");
            return None;
        }
        other => {
            let fix = did_you_mean(nearest(other, TYPES), &format!("Known are {}.", quoted_list(&TYPES)));
            block.field("type").fault(format!("{} is not a type of block", shown_text(other)), fix);
            return None;
        }
    };
    Some(VisualBlock { padding, kind })
}

fn read_padding(layout: &Reader<'_>) -> Padding {
    if layout.object().is_none() {
        return PADDING;
    }
    let side = |name, default| pixels(&layout.field(name)).unwrap_or(default);
    Padding {
        top: side("padding_top", PADDING.top),
        right: side("padding_right", PADDING.right),
        bottom: side("padding_bottom", PADDING.bottom),
        left: side("padding_left", PADDING.left),
    }
}

fn read_button_set(block: &Reader<'_>, layout: &Reader<'_>) -> Option<ButtonSet> {
    let buttons = block.field("buttons");
    if buttons.is_blank() {
        buttons.missing("Write an array of buttons, each with a label and an action.");
        return None;
    }
    let items = buttons.items()?;
    if items.len() > MAX_BUTTONS {
        buttons.fault(format!("has {} buttons", items.len()), format!("Use at most {MAX_BUTTONS}."));
        return None;
    }
    let read: Vec<_> = items.iter().map(read_button).collect();
    let gap = pixels(&layout.field("column_gap")).unwrap_or(8);
    Some(ButtonSet { buttons: read.into_iter().collect::<Option<_>>()?, gap, align: read_align(layout) })
}

fn read_button(button: &Reader<'_>) -> Option<BlockButton> {
    button.object()?;
    button.expect_keys(&["type", "id", "version", "label", "action", "variant", "size_attrs", "style_attrs"]);
    let label = button.field("label").required_text("Write what the button says.");
    let action = button.field("action").required_text("Write the URL that the button leads to.");
    let (size, style) = (button.field("size_attrs"), button.field("style_attrs"));
    Some(BlockButton {
        label: label?.trim().to_owned(),
        action: action?.trim().to_owned(),
        outline: word(&button.field("variant"), &VARIANTS).unwrap_or(false),
        size: word(&size.field("size"), &SIZES).unwrap_or(ButtonSize::Medium),
        full_width: size.field("is_fullwidth").flag(),
        background: read_colour(&style.field("background_color")),
        text: read_colour(&style.field("text_color")),
        border: read_colour(&style.field("border_color")),
        radius: pixels(&style.field("border_radius")),
        border_width: pixels(&style.field("border_width")),
    })
}

fn read_image(block: &Reader<'_>, layout: &Reader<'_>) -> Option<Image> {
    let url = block.field("url").required_text("Write the address of the image.")?;
    let text = |name: &str| block.field(name).text().map(str::trim).filter(|text| !text.is_empty());
    let width = block.field("style_attrs").field("width");
    Some(Image {
        url: url.trim().to_owned(),
        alt: text("alt").unwrap_or_default().to_owned(),
        action: text("action").map(str::to_owned),
        width: read_width(&width),
        align: read_align(layout),
    })
}

fn read_row(block: &Reader<'_>, layout: &Reader<'_>) -> Option<Row> {
    let field = block.field("columns");
    if field.is_blank() {
        field.missing("Write an array of columns, each an array of blocks.");
        return None;
    }
    let columns = field.items()?;
    if columns.len() > MAX_COLUMNS {
        field.fault(format!("has {} columns", columns.len()), format!("Use at most {MAX_COLUMNS}."));
        return None;
    }
    let read: Vec<_> = columns.iter().map(|column| read_column(column, false)).collect();
    let gap = pixels(&layout.field("column_gap")).unwrap_or(8);
    Some(Row { columns: read.into_iter().collect::<Option<_>>()?, gap })
}

fn read_align(layout: &Reader<'_>) -> Align {
    word(&layout.field("horizontal_align"), &ALIGNS).unwrap_or(Align::Left)
}

/// One of a few words; none when there is nothing.
fn word<T: Copy, const N: usize>(field: &Reader<'_>, known: &[(&'static str, T); N]) -> Option<T> {
    let text = field.text().filter(|text| !text.is_empty())?;
    let found = known.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
    if found.is_none() {
        let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
        let fix = format!("Write one of {}.", quoted_list(&words));
        field.fault(format!("{} is not known here", shown_text(text)), did_you_mean(nearest(text, words), &fix));
    }
    found
}

fn pixels(field: &Reader<'_>) -> Option<u16> {
    let value = field.value()?;
    let pixels = value.as_u64().filter(|pixels| *pixels <= MAX_PIXELS).and_then(|pixels| u16::try_from(pixels).ok());
    if pixels.is_none() {
        let fix = format!("Write a whole number from 0 to {MAX_PIXELS}, without quotes.");
        field.fault(format!("{} is not a number of pixels", shown(value)), fix);
    }
    pixels
}

fn read_colour(field: &Reader<'_>) -> Option<Colour> {
    let text = field.text().map(str::trim).filter(|text| !text.is_empty())?;
    match text {
        "primary_color" => Some(Colour::Primary),
        "primary_color_contrast" => Some(Colour::PrimaryContrast),
        text if is_colour(text) => Some(Colour::Fixed(text.to_owned())),
        text => {
            let fix = "Write \"primary_color\", \"primary_color_contrast\", or a colour such as \"#1a73e8\".";
            field.fault(format!("{} is not a colour", shown_text(text)), fix);
            None
        }
    }
}

/// `#` and 3, 4, 6 or 8 hexadecimal digits, or a name such as `white`: nothing that could end a style.
pub fn is_colour(text: &str) -> bool {
    match text.strip_prefix('#') {
        Some(digits) => matches!(digits.len(), 3 | 4 | 6 | 8) && digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => (3..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphabetic()),
    }
}

/// `50%`, `240px`, `240` or `auto`.
fn read_width(field: &Reader<'_>) -> Option<String> {
    let value = field.value()?;
    let text = match value {
        Value::String(text) if matches!(text.trim(), "" | "auto") => return None,
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    };
    let (digits, unit) = match text.strip_suffix('%') {
        Some(digits) => (digits, "%"),
        None => (text.strip_suffix("px").unwrap_or(&text), "px"),
    };
    let fits = |number: u64| number > 0 && (if unit == "%" { number <= 100 } else { number <= MAX_PIXELS });
    if digits.parse().is_ok_and(fits) {
        return Some(format!("{digits}{unit}"));
    }
    field.fault(format!("{} is not a width", shown(value)), "Write \"50%\" or \"240px\".");
    None
}

#[cfg(test)]
mod tests {
    use super::super::workflow::{EmailBody, StepKind, Template};
    use super::super::workflow_sample::*;
    use super::*;
    use serde_json::json;

    fn with_blocks(blocks: Value) -> Value {
        let mut document = without("/steps/0/template/html_body");
        document["steps"][0]["template"]["visual_blocks"] = blocks;
        document
    }

    fn blocks(blocks: Value) -> Vec<VisualBlock> {
        let workflow = workflow(&with_blocks(blocks));
        let StepKind::Channel(step) = &workflow.steps[0].kind else { panic!("no channel") };
        let Template::Email(email) = &step.template else { panic!("no email") };
        let EmailBody::Blocks(blocks) = &email.body else { panic!("no blocks") };
        blocks.clone()
    }

    #[test]
    fn every_block_of_the_published_templates_is_read() {
        let read = blocks(json!([
            {"type": "markdown", "version": 1, "variant": "default", "content": "# Hi",
             "layout_attrs": {"padding_top": 1, "padding_right": 2, "padding_bottom": 3, "padding_left": 4}},
            {"type": "button_set", "version": 1, "layout_attrs": {"column_gap": 12, "horizontal_align": "center"},
             "buttons": [{"label": "Go", "action": "{{ x }}", "variant": "outline", "size_attrs": {"size": "sm"},
                          "style_attrs": {"background_color": "primary_color", "border_radius": 6, "text_color": "#fff"}}]},
            {"type": "divider"},
            {"type": "image", "url": "https://x.test/a.png", "style_attrs": {"width": "25%"}},
            {"type": "partial", "key": "card", "name": "Card", "attrs": {"title": "T"}},
            {"type": "row", "columns": [[{"type": "html", "content": "a"}], []]},
        ]));
        assert_eq!(read[0].padding, Padding { top: 1, right: 2, bottom: 3, left: 4 });
        let BlockKind::ButtonSet(set) = &read[1].kind else { panic!("{read:?}") };
        assert_eq!((set.gap, set.align, read[1].padding), (12, Align::Center, PADDING));
        assert!(set.buttons[0].outline && set.buttons[0].size == ButtonSize::Small);
        assert_eq!(set.buttons[0].background, Some(Colour::Primary));
        assert_eq!(set.buttons[0].text, Some(Colour::Fixed("#fff".into())));
        let BlockKind::Row(row) = &read[5].kind else { panic!("{read:?}") };
        assert_eq!(row.columns.iter().map(Vec::len).collect::<Vec<_>>(), [1, 0]);
    }

    #[test]
    fn what_is_wrong_in_a_block_is_named_by_its_place() {
        let at = "steps[0].template.visual_blocks[0]";
        for (block, expected) in [
            (
                json!({"type": "markdwon"}),
                format!("{at}.type: \"markdwon\" is not a type of block. Did you mean \"markdown\"?"),
            ),
            (json!({"content": "x"}), format!("{at}.type: is missing")),
            (json!({"type": "html"}), format!("{at}.content: is missing")),
            (json!({"type": "button_set", "buttons": []}), format!("{at}.buttons: is missing")),
            (json!({"type": "button_set", "buttons": [{"label": "x"}]}), format!("{at}.buttons[0].action: is missing")),
            (
                json!({"type": "button_set", "buttons": [{"label": "x", "action": "y", "style_attrs": {"text_color": "red;x:y"}}]}),
                format!("{at}.buttons[0].style_attrs.text_color: \"red;x:y\" is not a colour"),
            ),
            (
                json!({"type": "divider", "layout_attrs": {"padding_top": "8"}}),
                format!("{at}.layout_attrs.padding_top: \"8\" is not a number of pixels"),
            ),
            (
                json!({"type": "image", "url": "x", "style_attrs": {"width": "wide"}}),
                format!("{at}.style_attrs.width: \"wide\" is not a width"),
            ),
            (
                json!({"type": "row", "columns": [[{"type": "row", "columns": [[]]}]]}),
                format!("{at}.columns[0][0].type: is a row inside a row"),
            ),
        ] {
            let text = fault(&with_blocks(json!([block])));
            assert!(text.starts_with(&expected), "{text}");
        }
    }
}
