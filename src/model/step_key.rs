//! The key of a batch, a throttle or an experiment: what tells its runs apart (`knock-engine.md` section 1.6).

use serde_json::Value;

use super::json_reader::Reader;
use super::moment::Path;
use super::settings::Settings;

/// What tells runs apart.
#[derive(Clone, Debug, PartialEq)]
pub enum Key {
    /// What lies there.
    Path(Path),
    /// What the template says, which is the only one of these.
    Template(Settings),
}

impl Key {
    /// The key at `field`, whose name is `name`; `Some(None)`: there is none. None after a fault.
    pub fn read(field: &Reader<'_>, name: &'static str) -> Option<Option<Self>> {
        if field.is_blank() {
            return Some(None);
        }
        let text = field.text()?;
        if text.contains("{{") || text.contains("{%") {
            return Some(Some(Self::Template(Settings::default().with(name, text.into()))));
        }
        Path::read(field).map(|path| Some(Self::Path(path)))
    }

    /// What is rendered before it can be found.
    pub fn settings(&self) -> Option<&Settings> {
        match self {
            Self::Path(_) => None,
            Self::Template(settings) => Some(settings),
        }
    }

    /// What lies at the path, or `said`, which is what the template came to. The error says that there is nothing.
    pub fn find(&self, scope: &Value, said: Option<&str>) -> Result<String, String> {
        match self {
            Self::Path(path) => match path.find(scope) {
                None => Err(format!("there is nothing at `{}`, its key", path.as_str())),
                Some(Value::String(text)) => Ok(text.clone()),
                Some(value) => Ok(value.to_string()),
            },
            Self::Template(_) => said.map(str::to_owned).ok_or_else(|| "its key comes to nothing".to_owned()),
        }
    }
}
