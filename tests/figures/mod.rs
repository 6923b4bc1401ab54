//! Figures for `docs/reliability.md`. A suite that has passed, or a bench, puts what it counted between its own markers in the page
//! when `BELFRY_FIGURES` is set; nobody types a figure.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::sync::Mutex;

/// Something that was tried, and never went wrong: a suite in which it did has failed before it counts.
pub struct Row {
    pub what: String,
    pub tries: u64,
}

pub fn row(what: impl Into<String>, tries: usize) -> Row {
    Row { what: what.into(), tries: tries as u64 }
}

/// One suite at a time: tests of one program run side by side.
static PAGE: Mutex<()> = Mutex::new(());

/// Prints the rows, and puts them into the page when asked. `command` counts them again; `beside` was measured with them.
pub fn publish(section: &str, command: &str, rows: &[Row], beside: &str) {
    let text = table(command, rows, beside);
    println!("{text}");
    put(section, &text);
}

/// Puts `text` into the page when asked.
pub fn put(section: &str, text: &str) {
    if std::env::var_os("BELFRY_FIGURES").is_none() {
        return;
    }
    let _page = PAGE.lock().unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reliability.md");
    let page = fs::read_to_string(&path).unwrap();
    fs::write(&path, between(&page, section, text)).unwrap();
}

fn table(command: &str, rows: &[Row], beside: &str) -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let mut text = format!(
        "`{command}`, on {cores} cores:\n\n| Tried | Times | Broken | With 95 % certainty |\n|---|---:|---:|---|\n"
    );
    for Row { what, tries } in rows {
        writeln!(text, "| {what} | {tries} | 0 | {} |", bound(*tries)).unwrap();
    }
    if !beside.is_empty() {
        writeln!(text, "\n{beside}").unwrap();
    }
    text
}

/// What no failure in so many tries says: the chance of one is at most 3 in that many.
fn bound(tries: u64) -> String {
    match tries / 3 {
        0 => "says nothing".into(),
        one_in => format!("less than 1 in {one_in}"),
    }
}

/// The page with `text` between the markers of `section`.
fn between(page: &str, section: &str, text: &str) -> String {
    let (open, close) = (format!("<!-- figures: {section} -->\n"), "<!-- end of figures -->");
    let (head, rest) = page.split_once(&open).unwrap_or_else(|| panic!("the page has no {open}"));
    let (_, tail) = rest.split_once(close).unwrap_or_else(|| panic!("{section} has no end in the page"));
    format!("{head}{open}{text}{close}{tail}")
}
