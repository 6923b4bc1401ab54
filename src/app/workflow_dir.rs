//! Reading workflow directories from disk, or the starter ones from inside the binary.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rust_embed::RustEmbed;

use crate::base::config::Workflows;
use crate::model::fault::Fault;
use crate::model::library::LibraryFiles;
use crate::model::notice::Notice;
use crate::model::workflow::DOCUMENT;
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
                fix: format!(
                    "Create it, or name another on the command line or with workflows.dir. {}",
                    how_to_begin(dir)
                ),
            });
            return (found, faults);
        }
    };
    if is_one_workflow(dir) {
        let fault = Fault {
            file: dir.display().to_string(),
            path: String::new(),
            problem: "this is one workflow".into(),
            fix: format!("Name the folder that holds it: {}", holder(dir).display()),
        };
        return (Vec::new(), vec![fault]);
    }
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

/// Whether `dir` is not a folder of workflows, but one of them.
fn is_one_workflow(dir: &Path) -> bool {
    let has_document = |folder: &Path| folder.join(DOCUMENT).is_file();
    let mut inside = fs::read_dir(dir).into_iter().flatten().flatten();
    has_document(dir) && !inside.any(|entry| has_document(&entry.path()))
}

/// The folder in which `dir` lies, as somebody who named `dir` would name it.
fn holder(dir: &Path) -> PathBuf {
    match (dir.file_name(), dir.parent()) {
        (Some(_), Some(parent)) if parent.as_os_str().is_empty() => ".".into(),
        (Some(_), Some(parent)) => parent.to_owned(),
        _ => dir.join(".."),
    }
}

/// For whoever has no workflow in `dir` yet.
pub fn how_to_begin(dir: &Path) -> String {
    let example = dir.join("account-invite").join(DOCUMENT);
    format!(
        "Each workflow is a folder in it, as {}; `belfry import knock` takes over those of Knock",
        example.display()
    )
}

/// What lies beside the folders in `dir` and looks as if somebody believed that it is read: files with one of the
/// `extensions`. `prefix` leads to `dir` in what is told; `way_out` is made of the name, without its extension and whole.
fn strays(dir: &Path, prefix: &str, extensions: &[&str], way_out: impl Fn(&str, &str) -> String) -> Vec<Notice> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().filter(|entry| entry.path().is_file());
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    let notices = names.iter().filter_map(|name| {
        let (stem, extension) = name.rsplit_once('.')?;
        let is_meant = extensions.contains(&extension) && !stem.eq_ignore_ascii_case("readme");
        (is_meant && !name.starts_with('.')).then(|| {
            let name = name.replace(char::is_control, "\u{fffd}");
            let stem = stem.replace(char::is_control, "\u{fffd}");
            let problem = "is not read, since it lies in no folder of its own".to_owned();
            Notice(Fault { file: format!("{prefix}{name}"), path: String::new(), problem, fix: way_out(&stem, &name) })
        })
    });
    notices.collect()
}

/// Where a translation belongs that lies in no folder: the last part of its name is its locale.
fn folder_of_locale(stem: &str, name: &str) -> String {
    let locale = stem.rsplit_once('.').map_or(stem, |(_, locale)| locale);
    let language = locale.split(['-', '_']).next().unwrap_or_default();
    if (2..=3).contains(&language.len()) {
        format!("Move it to translations/{locale}/{name}.")
    } else {
        "Name it for its locale and move it into the folder of that, as translations/de/de.json.".to_owned()
    }
}

/// Where what belongs to a layout, a partial or a workflow belongs, which is a folder at `place` with a `document`.
fn folder_of(stem: &str, name: &str, prefix: &str, document: &str) -> String {
    match name.ends_with(".json") {
        true if name == document => "Move it into a folder whose name is its key.".to_owned(),
        true => format!("Move it to {prefix}{stem}/{document}."),
        false => format!("Move it into {prefix}{stem}, with a {document} that points to it."),
    }
}

/// The directories of layouts, partials and translations, which need not be there; and what lies beside the folders of
/// them and of workflows.
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
    let beside = |dir: &Path, prefix: &str, extensions: &[&str], document: &str| {
        strays(dir, prefix, extensions, |stem, name| folder_of(stem, name, prefix, document))
    };
    let strays = [
        if is_one_workflow(&dirs.dir) { Vec::new() } else { beside(&dirs.dir, "", &["json"], DOCUMENT) },
        beside(&dirs.layouts_dir, "layouts/", &["json", "html", "mjml", "txt"], "layout.json"),
        beside(&dirs.partials_dir, "partials/", &["json", "html", "md", "txt"], "partial.json"),
        strays(&dirs.translations_dir, "translations/", &["json", "po"], folder_of_locale),
    ]
    .concat();
    LibraryFiles { layouts, partials, translations, unread, strays }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "{}").unwrap();
        }
        folder
    }

    #[test]
    fn a_file_beside_the_folders_is_told_with_the_place_where_it_belongs() {
        let folder = folder(&[
            "workflows/invite.json",
            "workflows/.hidden.json",
            "workflows/notes.txt",
            "workflows/w/workflow.json",
            "layouts/plain.html",
            "partials/card.md",
            "partials/README.md",
            "translations/tasks.pt-BR.po",
            "translations/de.json",
            "translations/words.json",
            "translations/fr/fr.json",
        ]);
        let dirs = |name: &str| folder.path().join(name);
        let library = read_library(&Workflows {
            dir: dirs("workflows"),
            layouts_dir: dirs("layouts"),
            partials_dir: dirs("partials"),
            translations_dir: dirs("translations"),
            ..crate::base::config::Config::from_layers(None, [], &Default::default()).unwrap().workflows
        });
        let told: Vec<String> = library.strays.iter().map(ToString::to_string).collect();
        const NOT_READ: &str = "is not read, since it lies in no folder of its own";
        let expected = [
            ("invite.json", "Move it to invite/workflow.json."),
            ("layouts/plain.html", "Move it into layouts/plain, with a layout.json that points to it."),
            ("partials/card.md", "Move it into partials/card, with a partial.json that points to it."),
            ("translations/de.json", "Move it to translations/de/de.json."),
            ("translations/tasks.pt-BR.po", "Move it to translations/pt-BR/tasks.pt-BR.po."),
            (
                "translations/words.json",
                "Name it for its locale and move it into the folder of that, as translations/de/de.json.",
            ),
        ];
        assert_eq!(told, expected.map(|(file, fix)| format!("{file}: {NOT_READ}. {fix}")));
        assert_eq!(library.translations.len(), 1);
    }

    #[test]
    fn one_workflow_is_told_with_the_folder_that_holds_it() {
        let folder = folder(&["all/invite/workflow.json", "all/invite/email_1/body.html"]);
        let dir = folder.path().join("all/invite");
        let (found, faults) = read(&dir);
        assert_eq!(found, []);
        let expected = format!(
            "{}: this is one workflow. Name the folder that holds it: {}",
            dir.display(),
            folder.path().join("all").display()
        );
        assert_eq!(faults.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
        fs::write(folder.path().join("all/workflow.json"), "{}").unwrap();
        assert_eq!(read(&folder.path().join("all")).0.len(), 1, "what lies beside others hides none");
        for (dir, expected) in [("invite/", "."), (".", "./.."), ("a/b", "a"), ("/a", "/")] {
            assert_eq!(holder(Path::new(dir)), Path::new(expected), "{dir}");
        }
    }
}
