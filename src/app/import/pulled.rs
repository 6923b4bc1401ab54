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

/// Everything in `dir`, sorted by kind and key: what `knock pull` wrote, a folder of workflows, or one workflow.
pub fn read(dir: &Path) -> Result<Vec<Resource>> {
    if !dir.is_dir() {
        bail!("{} is not a folder. Name what `knock pull` wrote, or a folder of workflows", dir.display());
    }
    let top = top(dir)?;
    let has_document = |folder: &Path| folder.join("workflow.json").is_file();
    let mut found = Vec::new();
    if has_document(&top) {
        let name = fs::canonicalize(&top)?.file_name().map(|name| name.to_string_lossy().into_owned());
        found.push(resource(Kind::Workflow, &top, name.unwrap_or_default())?);
    } else if folders(&top)?.iter().any(|(_, folder)| has_document(folder)) {
        collect(Kind::Workflow, &top, &mut found)?;
    } else {
        for kind in Kind::ALL {
            let folder = top.join(kind.folder());
            if folder.is_dir() {
                collect(kind, &folder, &mut found)?;
            }
        }
    }
    if found.is_empty() {
        bail!(
            "{} holds nothing to import. Name a folder with `knock.json`, with `workflows` in it, or of workflows, \
             each a folder with a `workflow.json`",
            top.display()
        );
    }
    Ok(found)
}

/// The folder of the resources' folders: `knock.json` names it.
fn top(dir: &Path) -> Result<PathBuf> {
    let file = dir.join("knock.json");
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
    Ok(dir.join(inside))
}

fn collect(kind: Kind, folder: &Path, found: &mut Vec<Resource>) -> Result<()> {
    for (name, folder) in folders(folder)? {
        found.push(resource(kind, &folder, name)?);
    }
    Ok(())
}

fn resource(kind: Kind, folder: &Path, key: String) -> Result<Resource> {
    let files = workflow_dir::read_files(folder).map_err(|why| anyhow::anyhow!("{}: {why}", folder.display()))?;
    Ok(Resource { kind, key, files })
}

/// The folders in `folder` by name, sorted; those whose names begin with a dot are passed over.
fn folders(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))?;
    let mut found = BTreeMap::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() && !name.starts_with('.') {
            found.insert(name, entry.path());
        }
    }
    Ok(found)
}
