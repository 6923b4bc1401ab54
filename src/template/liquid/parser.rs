//! From pieces to a tree.

use std::ops::Range;

use super::expression::{Operand, single, whole};
use super::lexer::Piece;
use super::node::{Arm, Block, Loop, Node, Offset, Table, When};
use super::words::{Word, Words};
use crate::base::nearest::nearest;
use crate::template::budget::SOURCE_DEPTH;
use crate::template::error::{Complaint, Position};
use crate::template::partial::Partials;

/// Every tag that may begin something, and how it is written.
const TAGS: [(&str, &str); 18] = [
    ("assign", "{% assign name = value %}"),
    ("break", "{% break %}"),
    ("capture", "{% capture name %}..{% endcapture %}"),
    ("case", "{% case value %}{% when 1, 2 %}..{% else %}..{% endcase %}"),
    ("comment", "{% comment %}..{% endcomment %}"),
    ("continue", "{% continue %}"),
    ("cycle", "{% cycle \"odd\", \"even\" %}"),
    ("decrement", "{% decrement name %}"),
    ("echo", "{% echo value %}"),
    ("for", "{% for item in items %}..{% endfor %}"),
    ("if", "{% if value %}..{% elsif other %}..{% else %}..{% endif %}"),
    ("increment", "{% increment name %}"),
    ("liquid", "{% liquid .. %} with a tag on each line"),
    ("raw", "{% raw %}..{% endraw %}"),
    ("render", "{% render \"card\", title: data.title %}"),
    ("t", "{% t name: value %}..{% endt %}"),
    ("tablerow", "{% tablerow item in items cols:2 %}..{% endtablerow %}"),
    ("unless", "{% unless value %}..{% else %}..{% endunless %}"),
];

/// What to do about Handlebars. Layouts are Liquid always, partials and workflows where they say so.
const HANDLEBARS: &str = "Write Liquid, such as {% if name %}..{% endif %}. A workflow, a template of a step or a partial can \
                          also say \"template_engine\": \"handlebars\"; a layout is Liquid.";

/// The most complaints about one template; more say nothing new.
const MOST_COMPLAINTS: usize = 20;

/// Makes a tree of `pieces`, and finds all that is wrong with them.
pub(super) fn parse(source: &str, pieces: &[Piece], partials: &Partials) -> Result<Block, Vec<Complaint>> {
    let mut parser = Parser { source, pieces, partials, at: 0, depth: 0, complaints: Vec::new() };
    let tree = parser.block(None).map(|(nodes, _)| nodes);
    let mut complaints = parser.complaints;
    let tree = tree.map_err(|complaint| complaints.push(complaint));
    match tree {
        Ok(tree) if complaints.is_empty() => Ok(tree),
        _ => Err(complaints),
    }
}

struct Parser<'t> {
    source: &'t str,
    pieces: &'t [Piece],
    /// Those that the template may name.
    partials: &'t Partials,
    at: usize,
    depth: usize,
    /// What is wrong inside of tags. What is wrong between them ends the parsing.
    complaints: Vec<Complaint>,
}

/// The tag that opened a block, and those that may end or divide it.
struct Opened<'t> {
    name: &'t str,
    at: usize,
    ends: &'static [&'static str],
}

/// The tag that ended or divided a block.
struct Ended<'t> {
    name: &'t str,
    rest: Range<usize>,
}

impl<'t> Parser<'t> {
    /// Reads nodes up to a tag that ends the block, or to the template's end.
    fn block(&mut self, opened: Option<&Opened<'t>>) -> Result<(Block, Option<Ended<'t>>), Complaint> {
        self.depth += 1;
        if let Some(opened) = opened.filter(|_| self.depth > SOURCE_DEPTH + 1) {
            let problem = format!("blocks nest deeper than {SOURCE_DEPTH} levels");
            return Err(self.complaint(opened.at, problem, "Flatten them."));
        }
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.get(self.at) {
            self.at += 1;
            match piece {
                Piece::Text(range) => nodes.push(Node::Text(range.clone())),
                // Each block of it would be a complaint of its own.
                Piece::Output(range) if self.source[range.clone()].starts_with(['#', '/', '^', '>']) => {
                    return Err(self.complaint(range.start, "this is Handlebars, and is read as Liquid", HANDLEBARS));
                }
                Piece::Output(range) => nodes.extend(self.inside(range, whole)?.map(Node::Output)),
                Piece::Tag { name: range, rest } => {
                    let name = &self.source[range.clone()];
                    if opened.is_some_and(|opened| opened.ends.contains(&name)) {
                        self.depth -= 1;
                        return Ok((nodes, Some(Ended { name, rest: rest.clone() })));
                    }
                    self.tag(name, range.start, rest, opened, &mut nodes)?;
                }
            }
        }
        self.depth -= 1;
        match opened {
            None => Ok((nodes, None)),
            Some(opened) => {
                let problem = format!("`{{% {} %}}` is never closed", opened.name);
                Err(self.complaint(opened.at, problem, format!("Close it with {{% end{} %}}.", opened.name)))
            }
        }
    }

    /// Reads what a tag or output holds. A fault in it does not keep the rest from being read.
    fn inside<T>(
        &mut self,
        range: &Range<usize>,
        read: impl FnOnce(&mut Words<'t>) -> Result<T, Complaint>,
    ) -> Result<Option<T>, Complaint> {
        match Words::new(self.source, range.clone()).and_then(|mut words| read(&mut words)) {
            Ok(read) => Ok(Some(read)),
            Err(complaint) if self.complaints.len() + 1 >= MOST_COMPLAINTS => Err(complaint),
            Err(complaint) => {
                self.complaints.push(complaint);
                Ok(None)
            }
        }
    }

    fn tag(
        &mut self,
        name: &'t str,
        at: usize,
        rest: &Range<usize>,
        outer: Option<&Opened<'t>>,
        nodes: &mut Block,
    ) -> Result<(), Complaint> {
        let node = match name {
            "echo" => self.inside(rest, whole)?.map(Node::Output),
            "assign" => self.inside(rest, assign)?,
            "increment" => self.inside(rest, |words| count(words, 1))?,
            "decrement" => self.inside(rest, |words| count(words, -1))?,
            "cycle" => self.inside(rest, cycle)?,
            "render" => {
                let partials = self.partials;
                self.inside(rest, |words| render(words, partials))?
            }
            "break" => self.nothing(rest)?.map(|()| Node::Break),
            "continue" => self.nothing(rest)?.map(|()| Node::Continue),
            "capture" => self.capture(name, at, rest)?,
            "if" | "unless" => self.arms(name, at, rest)?,
            "case" => self.case(name, at, rest)?,
            "for" | "tablerow" => self.repeat(name, at, rest)?,
            "t" => self.translated(name, at, rest)?,
            _ => return self.unknown(name, at, outer),
        };
        nodes.extend(node);
        Ok(())
    }

    fn nothing(&mut self, rest: &Range<usize>) -> Result<Option<()>, Complaint> {
        self.inside(rest, |words| words.end("Nothing follows this tag's name."))
    }

    /// `assign`'s bigger brother: what the body becomes gets a name.
    fn capture(&mut self, name: &'t str, at: usize, rest: &Range<usize>) -> Result<Option<Node>, Complaint> {
        let target = self.inside(rest, |words| {
            let target = match words.next() {
                Some(Word::Name(name)) => name.to_owned(),
                Some(Word::Text(name)) => name,
                _ => return Err(words.complaint_at(at, "`capture` has no name", usage("capture"))),
            };
            words.end(usage("capture")).map(|()| target)
        })?;
        let (body, _) = self.block(Some(&Opened { name, at, ends: &["endcapture"] }))?;
        Ok(target.map(|name| Node::Capture { name, body }))
    }

    /// A text that translators may have put into other words.
    fn translated(&mut self, name: &'t str, at: usize, rest: &Range<usize>) -> Result<Option<Node>, Complaint> {
        let given = self.inside(rest, |words| given(words, "t"))?;
        let (body, ended) = self.block(Some(&Opened { name, at, ends: &["endt"] }))?;
        // From behind the delimiter of the opening tag to that of the closing one.
        let source = self.source;
        let start = source[rest.end..].find("%}").map_or(source.len(), |length| rest.end + length + 2);
        let end = ended.and_then(|ended| source[..ended.rest.start].rfind("{%")).unwrap_or(0);
        let key = source.get(start..end).unwrap_or_default().trim().to_owned();
        Ok(given.map(|given| Node::Translated { key, given, body, at }))
    }

    fn arms(&mut self, name: &'t str, at: usize, rest: &Range<usize>) -> Result<Option<Node>, Complaint> {
        const ENDS: [&[&str]; 4] =
            [&["elsif", "else", "endif"], &["endif"], &["elsif", "else", "endunless"], &["endunless"]];
        let is_unless = name == "unless";
        let (divided, last) = if is_unless { (ENDS[2], ENDS[3]) } else { (ENDS[0], ENDS[1]) };
        let mut arms = Vec::new();
        let mut otherwise = Vec::new();
        let mut condition = self.inside(rest, whole)?;
        let mut negated = is_unless;
        loop {
            let (body, ended) = self.block(Some(&Opened { name, at, ends: divided }))?;
            arms.extend(condition.map(|condition| Arm { negated, condition, body }));
            match ended {
                Some(Ended { name: "elsif", rest }) => {
                    condition = self.inside(&rest, whole)?;
                    negated = false;
                }
                Some(Ended { name: "else", rest }) => {
                    self.inside(&rest, |words| words.end("Write {% elsif condition %}, or nothing behind `else`."))?;
                    (otherwise, _) = self.block(Some(&Opened { name, at, ends: last }))?;
                    break;
                }
                _ => break,
            }
        }
        Ok(Some(Node::If { arms, otherwise }))
    }

    fn case(&mut self, name: &'t str, at: usize, rest: &Range<usize>) -> Result<Option<Node>, Complaint> {
        let value = self.inside(rest, whole)?;
        let mut arms = Vec::new();
        let mut otherwise = Vec::new();
        // What stands before the first `when` belongs to no arm.
        let (_, mut ended) = self.block(Some(&Opened { name, at, ends: &["when", "else", "endcase"] }))?;
        loop {
            match ended {
                Some(Ended { name: "when", rest }) => {
                    let values = self.inside(&rest, when)?;
                    let (body, next) = self.block(Some(&Opened { name, at, ends: &["when", "else", "endcase"] }))?;
                    arms.extend(values.map(|values| When { values, body }));
                    ended = next;
                }
                Some(Ended { name: "else", .. }) => {
                    (otherwise, _) = self.block(Some(&Opened { name, at, ends: &["endcase"] }))?;
                    break;
                }
                _ => break,
            }
        }
        Ok(value.map(|value| Node::Case { value, arms, otherwise }))
    }

    fn repeat(&mut self, name: &'t str, at: usize, rest: &Range<usize>) -> Result<Option<Node>, Complaint> {
        let is_table = name == "tablerow";
        let head = self.inside(rest, |words| head(words, is_table))?;
        let ends: &'static [&'static str] = if is_table { &["endtablerow"] } else { &["else", "endfor"] };
        let (body, ended) = self.block(Some(&Opened { name, at, ends }))?;
        let mut otherwise = Vec::new();
        if ended.is_some_and(|ended| ended.name == "else") {
            (otherwise, _) = self.block(Some(&Opened { name, at, ends: &["endfor"] }))?;
        }
        Ok(head.map(|head| Node::For(Box::new(Loop { body, otherwise, ..head }))))
    }

    fn unknown(&mut self, name: &str, at: usize, outer: Option<&Opened<'t>>) -> Result<(), Complaint> {
        let divides = matches!(name, "else" | "elsif" | "when");
        let closes = name.strip_prefix("end").is_some_and(|name| TAGS.iter().any(|(known, _)| *known == name));
        if let Some(outer) = outer.filter(|_| divides || closes) {
            let problem = format!("`{{% {name} %}}` stands inside the `{{% {} %}}`", outer.name);
            let complaint = self.complaint(at, problem, "Close blocks in the reverse order of their opening.");
            return Err(Complaint { begun: Some(Position::of(self.source, outer.at)), ..complaint });
        }
        if divides || closes {
            return Err(self.complaint(at, format!("`{{% {name} %}}` has no opening tag"), "Remove it."));
        }
        let problem = format!("there is no tag `{name}`");
        let ends = outer.map_or(&[] as &[&str], |outer| outer.ends);
        let known = TAGS.iter().map(|(known, _)| *known).chain(ends.iter().copied());
        let fix = match (name, nearest(name, known)) {
            ("", _) => return Err(self.complaint(at, "a tag has no name", "Write {{ value }} to print a value.")),
            ("include", _) => {
                "Use {% render \"card\", title: data.title %}, and name what the partial needs.".to_owned()
            }
            (_, Some(near)) if ends.contains(&near) => format!("Did you mean `{near}`?"),
            (_, Some(near)) => format!("Did you mean `{near}`? Use it as {}.", tag_usage(near)),
            (_, None) => format!("The tags are {}.", TAGS.map(|(known, _)| known).join(", ")),
        };
        // What it would have closed or divided cannot be told, so nothing behind it is read.
        Err(self.complaint(at, problem, fix))
    }

    fn complaint(&self, at: usize, problem: impl Into<String>, fix: impl Into<String>) -> Complaint {
        Complaint::new(Some(Position::of(self.source, at)), problem, fix)
    }
}

fn tag_usage(name: &str) -> &'static str {
    TAGS.iter().find(|(known, _)| *known == name).map_or("", |(_, usage)| usage)
}

fn usage(name: &str) -> String {
    format!("Use it as {}.", tag_usage(name))
}

fn name(words: &mut Words<'_>, tag: &str) -> Result<String, Complaint> {
    match words.peek() {
        Some(Word::Name(name)) => {
            let name = (*name).to_owned();
            words.next();
            Ok(name)
        }
        _ => Err(words.unexpected("a name", usage(tag))),
    }
}

fn assign(words: &mut Words<'_>) -> Result<Node, Complaint> {
    let name = name(words, "assign")?;
    if !words.take("=") {
        return Err(words.unexpected("`=`", usage("assign")));
    }
    Ok(Node::Assign { name, value: whole(words)? })
}

fn count(words: &mut Words<'_>, by: i64) -> Result<Node, Complaint> {
    let tag = if by > 0 { "increment" } else { "decrement" };
    let name = name(words, tag)?;
    words.end(usage(tag))?;
    Ok(Node::Count { name, by, prints_before: by > 0 })
}

fn when(words: &mut Words<'_>) -> Result<Vec<Operand>, Complaint> {
    let mut values = vec![single(words)?];
    while words.take(",") || words.take_name("or") {
        values.push(single(words)?);
    }
    words.end("Separate values by commas.").map(|()| values)
}

fn render(words: &mut Words<'_>, partials: &Partials) -> Result<Node, Complaint> {
    let at = words.offset();
    let key = match words.peek() {
        Some(Word::Text(key)) => key.clone(),
        _ => return Err(words.unexpected("the key of a partial in quotes", usage("render"))),
    };
    words.next();
    let partial = partials.find(&key).map_err(|(problem, fix)| words.complaint_at(at, problem, fix))?;
    words.take(",");
    let given = given(words, "render")?;
    Ok(Node::Render { partial: partial.clone(), given, at })
}

/// The values that a tag is given by name.
fn given(words: &mut Words<'_>, tag: &str) -> Result<Vec<(String, Operand)>, Complaint> {
    let mut given = Vec::new();
    while let Some(label) = words.take_label(":") {
        given.push((label.to_owned(), single(words)?));
        words.take(",");
    }
    words.end(usage(tag)).map(|()| given)
}

fn cycle(words: &mut Words<'_>) -> Result<Node, Complaint> {
    let start = words.offset();
    let mut values = vec![single(words)?];
    let group = if words.take(":") {
        let group = values.pop();
        values.push(single(words)?);
        group
    } else {
        None
    };
    while words.take(",") {
        values.push(single(words)?);
    }
    words.end(usage("cycle"))?;
    Ok(Node::Cycle { group, values, text: words.text_since(start).to_owned() })
}

/// A loop without its bodies.
fn head(words: &mut Words<'_>, is_table: bool) -> Result<Loop, Complaint> {
    let tag = if is_table { "tablerow" } else { "for" };
    let name = name(words, tag)?;
    if !words.take_name("in") {
        return Err(words.unexpected("`in`", usage(tag)));
    }
    let at = words.offset();
    let list = single(words)?;
    let mut head = Loop {
        text: format!("{name}-{}", words.text_since(at)),
        name,
        list,
        offset: None,
        limit: None,
        reversed: false,
        body: Vec::new(),
        otherwise: Vec::new(),
        table: is_table.then_some(Table { columns: None }),
        at,
    };
    loop {
        words.take(",");
        if words.take_name("reversed") {
            head.reversed = true;
            continue;
        }
        match words.take_label(":") {
            Some("limit") => head.limit = Some(single(words)?),
            Some("offset") if words.take_name("continue") => head.offset = Some(Offset::Continue),
            Some("offset") => head.offset = Some(Offset::At(single(words)?)),
            Some("cols") if is_table => head.table = Some(Table { columns: Some(single(words)?) }),
            Some(label) => {
                let fix = "A loop takes limit:2, offset:1 and reversed; a table also cols:2.";
                return Err(words.complaint(format!("`{tag}` has no option `{label}:`"), fix));
            }
            None => break,
        }
    }
    words.end("A loop takes limit:2, offset:1 and reversed; a table also cols:2.")?;
    Ok(head)
}
