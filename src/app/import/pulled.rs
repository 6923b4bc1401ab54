//! What a directory that was pulled from Knock holds: resources, each a folder of files (`knock pull` writes them so).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::app::workflow_dir;

/// The kinds of resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Workflow,
    Layout,
    Partial,
    Translation,
    Audience,
    Guide,
    MessageType,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::Workflow,
        Self::Layout,
        Self::Partial,
        Self::Translation,
        Self::Audience,
        Self::Guide,
        Self::MessageType,
    ];

    /// The folder of all resources of the kind, in Knock's directory and in Belfry's.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Workflow => "workflows",
            Self::Layout => "layouts",
            Self::Partial => "partials",
            Self::Translation => "translations",
            Self::Audience => "audiences",
            Self::Guide => "guides",
            Self::MessageType => "message-types",
        }
    }
}

/// A resource, as its folder holds it.
#[derive(Clone, Debug)]
pub struct Resource {
    pub kind: Kind,
    /// The folder's name.
    pub key: String,
    /// By path inside the folder, with `/`.
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Resource {
    /// Where it lies below the top of a directory: `workflows/invite`.
    pub fn place(&self) -> String {
        format!("{}/{}", self.kind.folder(), self.key)
    }

    /// A file as text.
    pub fn text(&self, file: &str) -> Option<&str> {
        self.files.get(file).and_then(|bytes| std::str::from_utf8(bytes).ok())
    }
}

/// What a directory holds.
#[derive(Debug, Default)]
pub struct Pulled {
    /// Sorted by kind and key.
    pub resources: Vec<Resource>,
    /// Files and folders that belong to none of them, as paths below the top; those with a dot in front are passed over.
    pub strays: Vec<String>,
}

/// Everything in `dir`: what `knock pull` wrote, a folder of workflows, or one workflow.
pub fn read(dir: &Path) -> Result<Pulled> {
    if !dir.is_dir() {
        bail!("{} is not a folder. Name what `knock pull` wrote, or a folder of workflows", dir.display());
    }
    let top = top(dir)?;
    let has_document = |folder: &Path| folder.join("workflow.json").is_file();
    let mut pulled = Pulled::default();
    let entries = entries(&top)?;
    if has_document(&top) {
        let name = fs::canonicalize(&top)?.file_name().map(|name| name.to_string_lossy().into_owned());
        pulled.resources.push(resource(Kind::Workflow, &top, name.unwrap_or_default())?);
    } else if entries.values().any(|entry| has_document(entry)) {
        pulled.collect(Kind::Workflow, &top, "")?;
    } else {
        for kind in Kind::ALL {
            let folder = top.join(kind.folder());
            if folder.is_dir() {
                pulled.collect(kind, &folder, &format!("{}/", kind.folder()))?;
            }
        }
        let is_kind = |name: &str, entry: &Path| entry.is_dir() && Kind::ALL.iter().any(|kind| kind.folder() == name);
        let strays = entries.iter().filter(|(name, entry)| *name != SETTINGS && !is_kind(name, entry));
        pulled.strays.extend(strays.map(|(name, _)| name.clone()));
    }
    if pulled.resources.is_empty() {
        bail!(
            "{} holds nothing to import. Name a folder with `knock.json`, with `workflows` in it, or of workflows, \
             each a folder with a `workflow.json`",
            top.display()
        );
    }
    Ok(pulled)
}

/// The file that says where the resources lie.
const SETTINGS: &str = "knock.json";

/// The folder of the resources' folders: `knock.json` names it.
fn top(dir: &Path) -> Result<PathBuf> {
    let file = dir.join(SETTINGS);
    if !file.is_file() {
        let usual = dir.join(".knock");
        return Ok(if usual.is_dir() { usual } else { dir.to_owned() });
    }
    let wrong = || format!("{} cannot be read", file.display());
    let text = fs::read_to_string(&file).with_context(wrong)?;
    let settings: Value = serde_json::from_str(&text).with_context(wrong)?;
    let inside = settings["knockDir"].as_str().unwrap_or(".knock");
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    if !Path::new(inside).components().all(plain) {
        bail!("{}: knockDir: {inside:?} leads out of the folder; name one in it", file.display());
    }
    let top = dir.join(inside);
    if !top.is_dir() {
        bail!("{}: knockDir: there is no folder {inside:?}. Pull first: knock pull --all", file.display());
    }
    Ok(top)
}

impl Pulled {
    /// Takes each folder in `folder` as a resource; `prefix` leads there.
    fn collect(&mut self, kind: Kind, folder: &Path, prefix: &str) -> Result<()> {
        for (name, entry) in entries(folder)? {
            if entry.is_dir() {
                self.resources.push(resource(kind, &entry, name)?);
            } else {
                self.strays.push(format!("{prefix}{name}"));
            }
        }
        Ok(())
    }
}

fn resource(kind: Kind, folder: &Path, key: String) -> Result<Resource> {
    let files = workflow_dir::read_files(folder).map_err(|why| anyhow::anyhow!("{}: {why}", folder.display()))?;
    Ok(Resource { kind, key, files })
}

/// What lies in `folder` by name, sorted.
fn entries(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    let mut found = BTreeMap::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') {
            found.insert(name, entry.path());
        }
    }
    Ok(found)
}
