//! `docs/configuration.md`: every key, from the schema of the configuration and from its defaults.

use std::fmt::Write as _;

use crossband::config::CrossbandConfig;
use mcx_runtime::config::{environment_variable, schema};
use serde_json::Value;

use super::{assert_current, cell};

const HEADER: &str = "# Configuration

<!-- Written from the types of the configuration: UPDATE_DOCS=1 cargo test -p crossband --test program documentation -->

A process reads one TOML file, `/etc/crossband/crossband.toml` unless `--config` names another, then the environment: each key has
a variable, which wins over the file. A key that is not here is refused, every problem is told at once, and the process ends with
status 64. `crossband config check` does the same without starting anything, `crossband config print` shows what is in force with
secrets masked, `crossband config schema` prints the JSON schema. Durations are written `250ms`, `30s`, `5m`. In a variable, lists
and tables are written as in TOML.
";

#[test]
fn page_of_the_configuration_is_current() {
    let schema = schema::<CrossbandConfig>();
    let defaults = serde_json::to_value(CrossbandConfig::default()).unwrap();
    let mut pages = Pages { schema: &schema, defaults: &defaults, text: HEADER.to_owned() };
    pages.section("", &schema);
    assert_current("configuration.md", &pages.text);
}

struct Pages<'a> {
    schema: &'a Value,
    defaults: &'a Value,
    text: String,
}

impl Pages<'_> {
    /// The keys of a table, then the tables in it.
    fn section(&mut self, path: &str, table: &Value) {
        let properties = table["properties"].as_object().unwrap();
        let (tables, keys): (Vec<_>, Vec<_>) =
            properties.iter().partition(|(_, property)| self.resolve(property)["properties"].is_object());
        let title = if path.is_empty() { "At the top".to_owned() } else { format!("`[{path}]`") };
        let _ = write!(self.text, "\n## {title}\n");
        if let Some(description) = table["description"].as_str().filter(|_| !path.is_empty()) {
            let _ = write!(self.text, "\n{description}\n");
        }
        if !keys.is_empty() {
            self.text.push_str(
                "\n| key | type | default | variable | meaning |\n| --- | --- | --- | --- | --- |\n",
            );
        }
        for (name, property) in keys {
            self.key(&join(path, name), property);
        }
        for (name, property) in tables {
            // By value, because the text grows meanwhile.
            let table = self.resolve(property).clone();
            self.section(&join(path, name), &table);
        }
    }

    fn key(&mut self, key: &str, property: &Value) {
        let described = property["description"].as_str().or(self.resolve(property)["description"].as_str());
        let description = described.unwrap_or_else(|| panic!("{key} has no description"));
        let name = key.rsplit('.').next().unwrap();
        let _ = writeln!(
            self.text,
            "| `{name}` | {} | {} | `{}` | {} |",
            self.type_of(property),
            self.default_of(key),
            environment_variable(key),
            cell(description)
        );
    }

    /// The schema itself, or the one that it refers to.
    fn resolve<'b>(&'b self, property: &'b Value) -> &'b Value {
        let reference = match property["anyOf"].as_array() {
            Some(choices) => choices.iter().find_map(|choice| choice["$ref"].as_str()),
            None => property["$ref"].as_str(),
        };
        match reference.and_then(|reference| reference.strip_prefix('#')) {
            Some(pointer) => self.schema.pointer(pointer).unwrap(),
            None => property,
        }
    }

    fn type_of(&self, property: &Value) -> String {
        let resolved = self.resolve(property);
        let choices = resolved["enum"].as_array().cloned().or_else(|| {
            let choices = resolved["oneOf"].as_array()?;
            choices.iter().map(|choice| choice.get("const").cloned()).collect()
        });
        if let Some(choices) = choices {
            let names: Vec<String> = choices.iter().map(|choice| format!("`{choice}`")).collect();
            return names.join(" or ").replace('|', "\\|");
        }
        let name = match &resolved["type"] {
            Value::String(name) => name.as_str(),
            Value::Array(names) => {
                names.iter().filter_map(Value::as_str).find(|name| *name != "null").unwrap()
            }
            other => panic!("{other} is no type: {resolved}"),
        };
        match name {
            "array" => format!("list of {}", self.type_of(&resolved["items"])),
            name => name.to_owned(),
        }
    }

    fn default_of(&self, key: &str) -> String {
        let default = key.split('.').try_fold(self.defaults, |value, name| value.get(name));
        match default {
            None | Some(Value::Null) => "–".to_owned(),
            Some(Value::String(text)) if text.is_empty() => "–".to_owned(),
            Some(value) => format!("`{value}`").replace('|', "\\|"),
        }
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
