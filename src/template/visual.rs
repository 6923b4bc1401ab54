//! Visual blocks as the source of a body: tables, since Outlook lays out nothing else, with the author's tags in them.

use std::fmt::Write;

use serde_json::Value;

use super::email_markdown;
use super::error::Complaint;
use super::patchwork::Patchwork;
use super::tags::{Tag, TagKind, closed_tags};
use super::wording::escape_html;
use crate::model::visual_block::{
    Align, BlockButton, BlockKind, ButtonSet, ButtonSize, Colour, Image, Padding, Row, VisualBlock,
};
use crate::model::workflow::Engine;

/// Compiles `blocks` to one template. `complain` takes each complaint and the field that it is about.
pub(super) fn compile(blocks: &[VisualBlock], engine: Engine, complain: &mut dyn FnMut(&str, Complaint)) -> Patchwork {
    let mut compiler = Compiler { engine, patchwork: Patchwork::default(), complain };
    compiler.blocks(blocks, "visual_blocks");
    compiler.patchwork
}

/// The style sheet of blocks, in the colours of a brand. What a layout says comes after it and wins.
pub(super) fn style_sheet(dark_primary: &str, dark_contrast: &str) -> String {
    format!(
        "<style>\n\
         .block-button {{ text-decoration: none; }}\n\
         .block-image img {{ max-width: 100%; height: auto; border: 0; }}\n\
         @media (max-width: 480px) {{\n  \
         td.block-column {{ display: block !important; width: 100% !important; padding: 0 !important; }}\n\
         }}\n\
         @media (prefers-color-scheme: dark) {{\n  \
         td.block-button--primary, td.block-button--primary a.block-button {{ background-color: {dark_primary} !important; \
         color: {dark_contrast} !important; border-color: {dark_primary} !important; }}\n  \
         td.block-button--primary-outline {{ border-color: {dark_primary} !important; }}\n  \
         td.block-button--primary-outline a.block-button {{ color: {dark_primary} !important; }}\n\
         }}\n\
         </style>\n"
    )
}

struct Compiler<'c> {
    engine: Engine,
    patchwork: Patchwork,
    complain: &'c mut dyn FnMut(&str, Complaint),
}

impl Compiler<'_> {
    fn blocks(&mut self, blocks: &[VisualBlock], path: &str) {
        for (index, block) in blocks.iter().enumerate() {
            self.block(block, &format!("{path}[{index}]"));
        }
    }

    fn block(&mut self, VisualBlock { padding, kind }: &VisualBlock, path: &str) {
        let (name, align) = match kind {
            BlockKind::Markdown { .. } => ("markdown", Align::Left),
            BlockKind::Html { .. } => ("html", Align::Left),
            BlockKind::ButtonSet(set) => ("button_set", set.align),
            BlockKind::Image(image) => ("image", image.align),
            BlockKind::Divider => ("divider", Align::Left),
            BlockKind::Partial { .. } => ("partial", Align::Left),
            BlockKind::Row(_) => ("row", Align::Left),
        };
        let inner = match kind {
            BlockKind::ButtonSet(_) => "block-buttons",
            BlockKind::Divider => "block-divider-cell",
            BlockKind::Markdown { .. } => "block-markdown",
            BlockKind::Html { .. } => "block-html",
            BlockKind::Image(_) => "block-image",
            BlockKind::Partial { .. } => "block-partial",
            BlockKind::Row(_) => "block-columns",
        };
        let side = self.side(align);
        self.write(&format!(
            "<table {} class=\"block-row block-row--{name}-v1\" width=\"100%\" cellpadding=\"0\" cellspacing=\"0\" \
             border=\"0\"><tr><td class=\"{inner}\" align=\"{side}\" style=\"{}\">\n",
            self.table(),
            self.padding(*padding)
        ));
        match kind {
            BlockKind::Markdown { content } => {
                let field = format!("{path}.content");
                let compiled = email_markdown::compile(content, self.engine, field.clone(), &mut self.patchwork);
                if let Err(complaint) = compiled {
                    (self.complain)(&field, complaint);
                }
            }
            BlockKind::Html { content } => self.whole(format!("{path}.content"), content),
            BlockKind::ButtonSet(set) => self.button_set(set, path),
            BlockKind::Image(image) => self.image(image, path),
            BlockKind::Divider => self.write(
                "<table role=\"presentation\" class=\"block-divider\" width=\"100%\" cellpadding=\"0\" \
                 cellspacing=\"0\" border=\"0\"><tr><td class=\"block-divider-line\" height=\"1\" \
                 style=\"height:1px;line-height:1px;font-size:1px;border-top:1px solid #e3e5e9;\">&nbsp;</td></tr></table>",
            ),
            BlockKind::Partial { key, attrs } => {
                let mut given = Vec::new();
                for (number, (name, value)) in attrs.iter().enumerate() {
                    given.extend(self.attribute(number, name, value, &format!("{path}.attrs.{name}")));
                }
                self.partial(key, &given, &format!("{path}.key"));
            }
            BlockKind::Row(row) => self.row(row, path),
        }
        self.write("\n</td></tr></table>\n");
    }

    fn write(&mut self, markup: &str) {
        self.patchwork.write(markup);
    }

    /// The tags of a text of the author. None after a complaint: the text is left out, so that the others are read.
    fn tags(&mut self, field: &str, text: &str) -> Option<Vec<Tag>> {
        closed_tags(text, self.engine).map_err(|complaint| (self.complain)(field, complaint)).ok()
    }

    /// What begins a table whose cells follow the direction of the text: Word asks each table for its own.
    fn table(&self) -> String {
        format!("dir=\"{}\" role=\"presentation\"", var(self.engine, "writing.direction"))
    }

    /// A side of the page, as those mean it who read from left to right.
    fn side(&self, align: Align) -> String {
        match align {
            Align::Left => var(self.engine, "writing.start"),
            Align::Center => "center".to_owned(),
            Align::Right => var(self.engine, "writing.end"),
        }
    }

    fn padding(&self, Padding { top, right, bottom, left }: Padding) -> String {
        if left == right {
            return format!("padding:{top}px {right}px {bottom}px {left}px;");
        }
        let [start, end] = [Align::Left, Align::Right].map(|align| self.side(align));
        format!("padding:{top}px 0 {bottom}px 0;padding-{end}:{right}px;padding-{start}:{left}px;")
    }

    /// A text of the author as it is.
    fn whole(&mut self, field: String, text: &str) {
        let Some(tags) = self.tags(&field, text) else { return };
        let note = self.patchwork.text(field, text);
        let mut at = 0;
        for tag in tags {
            self.patchwork.write(&text[at..tag.range.start]);
            at = tag.range.end;
            self.patchwork.patch(note, tag.range);
        }
        self.patchwork.write(&text[at..]);
    }

    /// A text of the author that stands in our markup and must not end it. Liquid escapes nothing by itself, so the text
    /// is rendered into a name first; Handlebars escapes what data says, and this what the author says.
    fn escaped(&mut self, field: String, text: &str) {
        match self.engine {
            Engine::Liquid => {
                self.write("{% capture _belfry_text %}");
                self.whole(field, text);
                self.write("{% endcapture %}{{ _belfry_text | strip | escape_once }}");
            }
            Engine::Handlebars => {
                let Some(tags) = self.tags(&field, text) else { return };
                let note = self.patchwork.text(field, text);
                let mut at = 0;
                for tag in tags {
                    self.patchwork.write(&escape_html(&text[at..tag.range.start]));
                    at = tag.range.end;
                    self.patchwork.patch(note, tag.range);
                }
                self.patchwork.write(&escape_html(&text[at..]));
            }
        }
    }

    fn button_set(&mut self, set: &ButtonSet, path: &str) {
        let count = set.buttons.len();
        let table = self.table();
        self.write(&format!(
            "<!--[if mso]><table {table} cellpadding=\"0\" cellspacing=\"0\" border=\"0\"><tr><![endif]-->"
        ));
        for (index, button) in set.buttons.iter().enumerate() {
            let gap = if index + 1 == count { 0 } else { set.gap };
            self.button(button, gap, &format!("{path}.buttons[{index}]"));
        }
        self.write("<!--[if mso]></tr></table><![endif]-->");
    }

    fn button(&mut self, button: &BlockButton, gap: u16, path: &str) {
        let look = Look::of(button, self.engine);
        let (size, (vertical, horizontal, font)) = match button.size {
            ButtonSize::Small => ("sm", (9, 16, 14)),
            ButtonSize::Medium => ("md", (11, 20, 15)),
            ButtonSize::Large => ("lg", (14, 26, 17)),
        };
        let kind = if button.outline { "outline" } else { "solid" };
        let width = if button.full_width { " width=\"100%\"" } else { "" };
        let (display, link_width) = if button.full_width {
            ("table;width:100%", "display:block;text-align:center")
        } else {
            ("inline-table", "display:inline-block")
        };
        let end = self.side(Align::Right);
        let bgcolor = if button.outline { String::new() } else { format!(" bgcolor=\"{}\"", look.background) };
        self.write(&format!(
            "<!--[if mso]><td style=\"padding-{end}:{gap}px;\"><![endif]--><table role=\"presentation\" cellpadding=\"0\" \
             cellspacing=\"0\" border=\"0\"{width} style=\"display:{display};border-collapse:separate;margin:0 0 4px;margin-{end}:{gap}px;\"><tr>\
             <td class=\"block-button-cell{}\" align=\"center\" valign=\"middle\"{bgcolor} style=\"background-color:{};\
             border:{}px solid {};border-radius:{}px;mso-padding-alt:{vertical}px {horizontal}px;\"><a class=\"block-button \
             block-button--{kind} block-button--{size}\" target=\"_blank\" href=\"",
            look.class, look.background, look.border_width, look.border, look.radius,
        ));
        self.escaped(format!("{path}.action"), &button.action);
        self.write(&format!(
            "\" style=\"{link_width};padding:{vertical}px {horizontal}px;mso-padding-alt:0;background-color:{};color:{};\
             border-radius:{}px;font-size:{font}px;line-height:20px;font-weight:600;text-decoration:none;\">",
            look.background, look.text, look.radius,
        ));
        self.escaped(format!("{path}.label"), &button.label);
        self.write("</a></td></tr></table><!--[if mso]></td><![endif]-->");
    }

    fn image(&mut self, image: &Image, path: &str) {
        if let Some(action) = &image.action {
            self.write("<a target=\"_blank\" href=\"");
            self.escaped(format!("{path}.action"), action);
            self.write("\">");
        }
        self.write("<img src=\"");
        self.escaped(format!("{path}.url"), &image.url);
        self.write("\" alt=\"");
        self.escaped(format!("{path}.alt"), &image.alt);
        // Outlook reads the attribute, without a unit.
        let width = image.width.as_deref();
        let attribute = width.map(|width| format!(" width=\"{}\"", width.trim_end_matches("px"))).unwrap_or_default();
        let style = width.map(|width| format!("width:{width};")).unwrap_or_default();
        self.write(&format!("\"{attribute} border=\"0\" style=\"{style}max-width:100%;height:auto;border:0;\">"));
        if image.action.is_some() {
            self.write("</a>");
        }
    }

    fn row(&mut self, row: &Row, path: &str) {
        let width = 100 / row.columns.len().max(1);
        let (table, start) = (self.table(), self.side(Align::Left));
        self.write(&format!("<table {table} width=\"100%\" cellpadding=\"0\" cellspacing=\"0\" border=\"0\"><tr>"));
        for (index, column) in row.columns.iter().enumerate() {
            let gap = if index == 0 { 0 } else { row.gap };
            self.write(&format!(
                "<td class=\"block-column\" width=\"{width}%\" valign=\"top\" style=\"width:{width}%;padding-{start}:{gap}px;\">\n"
            ));
            self.blocks(column, &format!("{path}.columns[{index}]"));
            self.write("</td>");
        }
        self.write("</tr></table>");
    }

    /// Makes a value that a partial is given nameable; answers its name and the expression for it.
    fn attribute(&mut self, number: usize, name: &str, value: &Value, field: &str) -> Option<(String, String)> {
        if !name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_') {
            let fix = "Use letters, digits and _.";
            (self.complain)(field, Complaint::new(None, format!("`{name}` is not a name"), fix));
            return None;
        }
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let expression = match self.engine {
            Engine::Liquid => {
                self.write(&format!("{{% capture _belfry_{number} %}}"));
                self.whole(field.to_owned(), &text);
                self.write("{% endcapture %}");
                format!("_belfry_{number}")
            }
            Engine::Handlebars => match expression_of(&text) {
                Ok(expression) => expression,
                Err(problem) => {
                    let fix = "Write text and values such as {{recipient.name}}.";
                    (self.complain)(field, Complaint::new(None, problem, fix));
                    return None;
                }
            },
        };
        Some((name.to_owned(), expression))
    }

    fn partial(&mut self, key: &str, given: &[(String, String)], field: &str) {
        let mut tag = match self.engine {
            Engine::Liquid => format!("{{% render {}", quoted(key)),
            Engine::Handlebars => format!("{{{{> {key}"),
        };
        for (name, expression) in given {
            let _ = match self.engine {
                Engine::Liquid => write!(tag, ", {name}: {expression}"),
                Engine::Handlebars => write!(tag, " {name}={expression}"),
            };
        }
        tag.push_str(if self.engine == Engine::Liquid { " %}" } else { "}}" });
        // The tag is ours, but that there is no such partial is what the block says.
        let note = self.patchwork.text(field.to_owned(), &tag);
        self.patchwork.patch(note, 0..tag.len());
    }
}

/// How a button looks.
struct Look {
    background: String,
    text: String,
    border: String,
    border_width: u16,
    radius: u16,
    /// Follows the brand into the dark.
    class: &'static str,
}

impl Look {
    fn of(button: &BlockButton, engine: Engine) -> Self {
        let css = |colour: &Option<Colour>, default: &Colour| match colour.as_ref().unwrap_or(default) {
            Colour::Primary => var(engine, "branding.primary_color"),
            Colour::PrimaryContrast => var(engine, "branding.primary_color_contrast"),
            Colour::Fixed(colour) => colour.clone(),
        };
        let is_brand = |colour: &Option<Colour>| !matches!(colour, Some(Colour::Fixed(_)));
        let transparent = Colour::Fixed("transparent".to_owned());
        let (text, class) = if button.outline {
            let follows = is_brand(&button.text) && is_brand(&button.border);
            (Colour::Primary, if follows { " block-button--primary-outline" } else { "" })
        } else {
            let follows = is_brand(&button.background) && is_brand(&button.text);
            (Colour::PrimaryContrast, if follows { " block-button--primary" } else { "" })
        };
        let background = if button.outline {
            // The background of an outlined button is what it stands on, also where its editor left one behind.
            css(&None, &transparent)
        } else {
            css(&button.background, &Colour::Primary)
        };
        // That of a solid one is seen only where its width is said; else it makes the box that outlined ones have.
        let has_border = button.outline || (button.border.is_some() && button.border_width.is_some());
        let border = if has_border { css(&button.border, &Colour::Primary) } else { background.clone() };
        Self {
            text: css(&button.text, &text),
            border_width: button.border_width.unwrap_or(1),
            radius: button.radius.unwrap_or(6),
            background,
            border,
            class,
        }
    }
}

/// A var that is checked before it gets into a scope, such as a colour of the brand.
fn var(engine: Engine, path: &str) -> String {
    match engine {
        Engine::Liquid => format!("{{{{ vars.{path} }}}}"),
        Engine::Handlebars => format!("{{{{vars.{path}}}}}"),
    }
}

/// A text with tags as one Handlebars expression: `Hi {{name}}` is `(concat "Hi " name)`.
fn expression_of(text: &str) -> Result<String, String> {
    let mut parts = Vec::new();
    let mut at = 0;
    let tags = closed_tags(text, Engine::Handlebars).map_err(|complaint| complaint.problem)?;
    for tag in tags {
        if tag.kind != TagKind::Output {
            return Err(format!("`{}` cannot stand in what a partial is given", &text[tag.range]));
        }
        if at < tag.range.start {
            parts.push(quoted(&text[at..tag.range.start]));
        }
        let inside = text[tag.range.clone()].trim_matches(['{', '}', '~', ' ', '\n']);
        parts.push(if inside.contains(' ') { format!("({inside})") } else { inside.to_owned() });
        at = tag.range.end;
    }
    if at < text.len() || parts.is_empty() {
        parts.push(quoted(&text[at..]));
    }
    match parts.as_slice() {
        [one] => Ok(one.clone()),
        many => Ok(format!("(concat {})", many.join(" "))),
    }
}

fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
}
