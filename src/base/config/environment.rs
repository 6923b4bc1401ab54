//! The layer of environment variables: `BELFRY__SECTION__KEY`, and `BELFRY__CHANNELS__<CHANNEL KEY>__KEY` for a channel
//! of the file. Names ignore case; `_` in a channel's key also stands for `-`, which no shell allows in a name.

use super::fault::{ConfigError, Origin, PREFIX, Wrong};
use super::tree::{Node, Table, Value};

/// Lays the variables of `environment` that begin with the prefix over `root`.
pub(super) fn apply(
    root: &mut Table,
    environment: impl Iterator<Item = (String, String)>,
    errors: &mut Vec<ConfigError>,
) {
    let mut variables: Vec<_> = environment.filter(|(name, _)| is_ours(name)).collect();
    // The order of an environment is an accident; reports should not be.
    variables.sort();
    for (name, text) in variables {
        let parts = name[PREFIX.len()..].to_lowercase();
        let parts: Vec<&str> = parts.split("__").collect();
        let node = Node { origin: Origin::Environment(name.clone()), value: Value::Raw(text) };
        if let Err(wrong) = lay(root, &parts, node) {
            errors.push(ConfigError::new(Origin::Environment(name.clone()), parts.join("."), wrong));
        }
    }
}

/// Whether a variable of this name is meant for Belfry's configuration.
pub(super) fn is_ours(name: &str) -> bool {
    name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

fn lay(root: &mut Table, parts: &[&str], node: Node) -> Result<(), Wrong> {
    match parts {
        _ if parts.contains(&"") => Err(malformed()),
        ["channels", channel, key] => set(find_channel(root, channel)?, key, node),
        ["channels", ..] => Err(Wrong::new(
            "names no setting of a channel",
            format!("Write {PREFIX}CHANNELS__<CHANNEL KEY>__<KEY>, such as {PREFIX}CHANNELS__EMAIL__PASSWORD."),
        )),
        [section, key] => {
            let fresh = Node { origin: node.origin.clone(), value: Value::Table(Table::new()) };
            match &mut root.entry((*section).to_owned()).or_insert(fresh).value {
                Value::Table(table) => set(table, key, node),
                // The file has no section there, which is reported when it is read.
                _ => Ok(()),
            }
        }
        _ => Err(malformed()),
    }
}

fn malformed() -> Wrong {
    Wrong::new("names no setting", format!("Write {PREFIX}<SECTION>__<KEY>, such as {PREFIX}SERVER__LISTEN."))
}

/// Sets `key` to `node`, in the spelling that `table` already has.
fn set(table: &mut Table, key: &str, node: Node) -> Result<(), Wrong> {
    let spelling = table.keys().find(|known| known.eq_ignore_ascii_case(key)).cloned();
    let spelling = spelling.unwrap_or_else(|| key.to_owned());
    match table.get(&spelling) {
        Some(Node { origin: Origin::Environment(other), .. }) => {
            Err(Wrong::new(format!("also set by {other}"), "Keep one of the two; names ignore case."))
        }
        _ => {
            table.insert(spelling, node);
            Ok(())
        }
    }
}

/// The file's channel that `name` stands for. A variable never creates a channel.
fn find_channel<'a>(root: &'a mut Table, name: &str) -> Result<&'a mut Table, Wrong> {
    let mut channels: Vec<(String, &mut Table)> = match root.get_mut("channels").map(|node| &mut node.value) {
        Some(Value::Array(items)) => items.iter_mut().filter_map(keyed).collect(),
        _ => Vec::new(),
    };
    let exact = channels.iter().position(|(key, _)| key.eq_ignore_ascii_case(name));
    let found = exact.or_else(|| channels.iter().position(|(key, _)| key.replace('-', "_").eq_ignore_ascii_case(name)));
    match found {
        Some(index) => Ok(channels.swap_remove(index).1),
        None if channels.is_empty() => {
            Err(Wrong::new("no channel is configured", "Add it to the file; a variable only changes its settings."))
        }
        None => {
            let keys: Vec<&str> = channels.iter().map(|(key, _)| key.as_str()).collect();
            Err(Wrong::unknown("channel", name, &keys))
        }
    }
}

fn keyed(node: &mut Node) -> Option<(String, &mut Table)> {
    let Value::Table(table) = &mut node.value else { return None };
    let Some(Value::Text(key)) = table.get("key").map(|node| &node.value) else { return None };
    Some((key.clone(), table))
}

#[cfg(test)]
mod tests {
    use crate::base::config::{Config, ConfigErrors, Overrides, Provider};

    fn with(environment: &[(&str, &str)]) -> Result<Config, ConfigErrors> {
        let environment = environment.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        Config::from_layers(Some(("belfry.toml", Config::default_toml())), environment, &Overrides::default())
    }

    fn faults(environment: &[(&str, &str)]) -> String {
        with(environment).unwrap_err().to_string()
    }

    #[test]
    fn a_channel_is_named_by_its_key_and_names_ignore_case() {
        let id = "11111111-2222-4333-8444-555555555555";
        let config = with(&[
            ("belfry__channels__email__password", "12345"),
            ("BELFRY__CHANNELS__EMAIL__USERNAME", "true"),
            ("BELFRY__CHANNELS__EMAIL__PORT", "2525"),
            ("BELFRY__CHANNELS__IN_APP__ID", id),
        ])
        .unwrap();
        let Provider::Smtp(smtp) = &config.channels[0].provider else { panic!("{:?}", config.channels) };
        let credentials = smtp.credentials.as_ref().unwrap();
        assert_eq!((credentials.username.as_str(), credentials.password.expose(), smtp.port), ("true", "12345", 2525));
        assert_eq!(config.channels[1].id.to_string(), id);
    }

    #[test]
    fn values_are_read_by_the_type_of_their_target() {
        let config = with(&[
            ("BELFRY__SERVER__DEV", "true"),
            ("BELFRY__SERVER__DATA_DIR", "123"),
            ("BELFRY__HTTP__MAX_BODY_BYTES", "1_000_000"),
            ("BELFRY__AUTH__SECRET_KEYS", "sk_a, sk_b"),
            ("BELFRY__AUTH__PUBLIC_KEYS", "[\"pk_a\"]"),
        ])
        .unwrap();
        assert!(config.server.dev);
        assert_eq!(config.server.data_dir.to_str(), Some("123"));
        assert_eq!(config.http.max_body_bytes, 1_000_000);
        assert_eq!(config.auth.secret_keys.iter().map(|key| key.expose()).collect::<Vec<_>>(), ["sk_a", "sk_b"]);
        assert_eq!(config.auth.public_keys, ["pk_a"]);
    }

    #[test]
    fn an_unknown_variable_names_the_nearest_known_one() {
        assert!(faults(&[("BELFRY__SERVER__LISTN", "x")]).starts_with(
            "BELFRY__SERVER__LISTN: server.listn: unknown key `listn`. Did you mean `BELFRY__SERVER__LISTEN`?"
        ));
        assert!(faults(&[("BELFRY__CHANNELS__EMIAL__PASSWORD", "x")]).contains("Did you mean `email`?"));
        assert!(faults(&[("BELFRY__CHANNELS__IN_APP__PORT", "1")]).contains("channels.in-app.port: unknown key"));
        let two = faults(&[("BELFRY__SEVER__A", "x"), ("BELFRY__SEVER__B", "x")]);
        assert_eq!(two.matches("unknown section `sever`").count(), 2, "{two}");
    }

    #[test]
    fn a_variable_that_names_no_setting_is_refused_and_foreign_ones_are_ignored() {
        for name in ["BELFRY__SERVER", "BELFRY__", "BELFRY__A__B__C", "BELFRY__SERVER__", "BELFRY__CHANNELS__EMAIL"] {
            assert!(faults(&[(name, "x")]).contains("names no setting"), "{name}");
        }
        assert!(with(&[("BELFRY_CONFIG", "x"), ("PATH", "x"), ("BELFRÝ__", "x")]).is_ok());
    }

    #[test]
    fn a_setting_set_twice_is_refused() {
        let faults = faults(&[("BELFRY__SERVER__DEV", "true"), ("Belfry__Server__Dev", "false")]);
        assert!(faults.contains("Belfry__Server__Dev: server.dev: also set by BELFRY__SERVER__DEV"), "{faults}");
    }

    #[test]
    fn a_faulty_secret_is_not_shown() {
        let faults =
            faults(&[("BELFRY__CHANNELS__EMAIL__PASSWORD", "hunter2"), ("BELFRY__AUTH__SECRET_KEYS", "hunter3")]);
        assert!(faults.contains("a password without a username") && !faults.contains("hunter"), "{faults}");
    }
}
