//! Reading workflow directories from disk, or the starter ones from inside the binary.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rust_embed::RustEmbed;

use crate::base::config::Workflows;
use crate::model::fault::Fault;
use crate::model::library::LibraryFiles;
use crate::model::workflow_file::WorkflowFiles;

/// Files of one workflow are templates; a larger one is not.
const MAX_FILE_BYTES: u64 = 1 << 20;
const MAX_FILES: usize = 1_000;
const MAX_DEPTH: usize = 8;

#[derive(RustEmbed)]
#[folder = "config/workflows/"]
struct Starters;

/// The workflows that `belfry dev` and `belfry demo` begin with.
pub fn starters() -> Vec<WorkflowFiles> {
    let mut found: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for path in Starters::iter() {
        if let (Some((key, file)), Some(content)) = (path.split_once('/'), Starters::get(&path)) {
            let text = String::from_utf8_lossy(&content.data).into_owned();
            found.entry(key.to_owned()).or_default().insert(file.to_owned(), text);
        }
    }
    found.into_iter().map(|(key, files)| WorkflowFiles { key, files }).collect()
}

/// The workflow directories under `dir`: each a folder with a `workflow.json`. Unreadable ones are faults of their own
/// and do not hide the others.
pub fn read(dir: &Path) -> (Vec<WorkflowFiles>, Vec<Fault>) {
    let mut faults = Vec::new();
    let mut found = Vec::new();
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => {
            faults.push(Fault {
                file: dir.display().to_string(),
                path: String::new(),
                problem: format!("the directory cannot be read: {error}"),
                fix: "Create it, or name another with workflows.dir or --workflows".into(),
            });
            return (found, faults);
        }
    };
    for entry in entries.flatten() {
        let folder = entry.path();
        let key = entry.file_name().to_string_lossy().into_owned();
        if !folder.is_dir() || key.starts_with('.') {
            continue;
        }
        match read_files(&folder).and_then(texts) {
            Ok(files) => found.push(WorkflowFiles { key, files }),
            Err(problem) => faults.push(Fault {
                file: key,
                path: String::new(),
                problem,
                fix: "Such a folder holds its JSON file and the text files that it points to".into(),
            }),
        }
    }
    found.sort_by(|one, other| one.key.cmp(&other.key));
    (found, faults)
}

/// The directories of layouts, partials and translations, which need not be there.
pub fn read_library(dirs: &Workflows) -> LibraryFiles {
    let mut unread = Vec::new();
    let mut read_if_there = |dir: &Path| {
        if !dir.exists() {
            return Vec::new();
        }
        let (found, faulty) = read(dir);
        unread.extend(faulty);
        found
    };
    let layouts = read_if_there(&dirs.layouts_dir);
    let partials = read_if_there(&dirs.partials_dir);
    let translations = read_if_there(&dirs.translations_dir);
    LibraryFiles { layouts, partials, translations, unread }
}

/// Every file under `folder` by its path there, with `/`; names that begin with a dot are passed over. The error says
/// what is too much or cannot be read.
pub fn read_files(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let mut files = BTreeMap::new();
    collect(folder, "", 0, &mut files)?;
    Ok(files)
}

/// The contents as text.
fn texts(files: BTreeMap<String, Vec<u8>>) -> Result<BTreeMap<String, String>, String> {
    let text = |(name, bytes)| match String::from_utf8(bytes) {
        Ok(text) => Ok((name, text)),
        Err(_) => Err(format!("`{name}` is not UTF-8 text")),
    };
    files.into_iter().map(text).collect()
}

fn collect(folder: &Path, prefix: &str, depth: usize, files: &mut BTreeMap<String, Vec<u8>>) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(format!("`{prefix}` lies more than {MAX_DEPTH} folders deep"));
    }
    let unreadable = |name: &str, error: std::io::Error| format!("`{name}` cannot be read: {error}");
    for entry in fs::read_dir(folder).map_err(|error| unreadable(prefix, error))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') {
            continue;
        }
        let name = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        let about = entry.metadata().map_err(|error| unreadable(&name, error))?;
        if about.is_dir() {
            collect(&entry.path(), &name, depth + 1, files)?;
            continue;
        }
        if about.len() > MAX_FILE_BYTES {
            return Err(format!("`{name}` has {} bytes; at most {MAX_FILE_BYTES} are allowed", about.len()));
        }
        if files.len() >= MAX_FILES {
            return Err(format!("it has more than {MAX_FILES} files"));
        }
        let bytes = fs::read(entry.path()).map_err(|error| unreadable(&name, error))?;
        files.insert(name, bytes);
    }
    Ok(())
}
