//! Documents as a table for people.

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use serde_json::{Map, Value};

/// The longest text of a cell, in characters; the JSON output has all of it.
const CELL_LIMIT: usize = 48;

/// The most columns that a table of documents has.
const COLUMN_LIMIT: usize = 8;

/// The columns by which documents are told apart: the fields that hold a plain value or an identity, in the order of the contract.
pub fn columns(documents: &[Value]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for document in documents.iter().filter_map(Value::as_object) {
        for (name, value) in document {
            let is_shown = is_plain(value) && !matches!(name.as_str(), "create_time" | "trust_bundle_pem");
            if is_shown && !names.contains(name) {
                names.push(name.clone());
            }
        }
    }
    names.truncate(COLUMN_LIMIT);
    names
}

fn is_plain(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().all(|item| !item.is_object() && !item.is_array()),
        Value::Object(fields) => fields.values().all(|field| !field.is_object() && !field.is_array()),
        _ => true,
    }
}

/// The documents as a table with these columns.
pub fn render(columns: &[String], documents: &[Value]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns.iter().map(|name| name.to_uppercase()));
    for document in documents {
        let empty = Map::new();
        let fields = document.as_object().unwrap_or(&empty);
        table.add_row(columns.iter().map(|name| fields.get(name).map_or_else(|| "-".to_owned(), cell)));
    }
    let mut text = table.to_string();
    text.push('\n');
    text
}

fn cell(value: &Value) -> String {
    let text = plain(value);
    if text.chars().count() > CELL_LIMIT {
        text.chars().take(CELL_LIMIT - 1).chain(['…']).collect()
    } else {
        text
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.lines().next().unwrap_or_default().to_owned(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        Value::Object(fields) => fields.values().map(plain).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn table_shows_plain_fields_and_cuts_long_ones() {
        let documents = [
            json!({"group_id": "sip:rescue@alpha.example", "display_name": "R".repeat(60), "call": {"limits": {"a": 1}}}),
            json!({"group_id": "sip:fire@alpha.example", "mc_services": ["MC_SERVICE_PTT", "MC_SERVICE_DATA"]}),
        ];
        let columns = columns(&documents);
        assert_eq!(columns, ["display_name", "group_id", "mc_services"]);
        let table = render(&columns, &documents);
        assert!(table.contains("GROUP_ID"), "{table}");
        assert!(table.contains(&format!("{}…", "R".repeat(47))), "{table}");
        assert!(table.contains("MC_SERVICE_PTT,MC_SERVICE_DATA"), "{table}");
    }
}
