//! The HTML that the author of a template wrote into its Markdown, told from what looks like HTML in data: a comment that
//! mentions `Vec<String>` says so.

use std::collections::BTreeSet;

/// Those that do something in a feed's item. All others are text, whoever wrote them.
const KNOWN: &str = "!-- a b blockquote br code del details div em h1 h2 h3 h4 h5 h6 hr i img ins kbd li mark ol p pre s \
                     small span strong sub summary sup table tbody td th thead tr u ul";

/// What Markdown itself makes: a template that prints the filter's result means its tags.
const FROM_MARKDOWN: &str =
    "<p><a><img><strong><em><del><code><pre><blockquote><ul><ol><li><br><hr><h1><h2><h3><h4><h5><h6>";

/// Names of tags that an author wrote.
#[derive(Clone, Debug, Default)]
pub(super) struct AuthorTags {
    names: BTreeSet<&'static str>,
}

impl AuthorTags {
    /// Those in a template's source.
    pub(super) fn of(source: &str) -> Self {
        let made = if source.contains("from_markdown") { FROM_MARKDOWN } else { "" };
        Self { names: source.split('<').skip(1).chain(made.split('<')).filter_map(known).collect() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// `html`, in which all other tags are text.
    pub(super) fn keep(&self, html: &str) -> String {
        let mut pieces = html.split('<');
        let mut kept = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let is_own = known(piece).is_some_and(|name| self.names.contains(name));
            kept.push_str(if is_own { "<" } else { "&lt;" });
            kept.push_str(piece);
        }
        kept
    }
}

/// The name of the tag whose `<` is before `piece`, if it is a known one.
fn known(piece: &str) -> Option<&'static str> {
    let name = piece.strip_prefix('/').unwrap_or(piece);
    let end = name.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(name.len());
    let name = if piece.starts_with("!--") { "!--" } else { &name[..end] };
    KNOWN.split(' ').find(|known| known.eq_ignore_ascii_case(name))
}
