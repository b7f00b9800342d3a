//! Documents as a table for people: what tells them apart first, then their fields in the order of the contract, as many as there is room
//! for.

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value};

/// The longest text of a cell, in characters; the JSON output has all of it.
const CELL_LIMIT: usize = 48;

/// The most columns where the width is not known: what is read by a program or a file is not to grow with the contract.
const COLUMN_LIMIT: usize = 8;

/// The columns that are shown however narrow the terminal is.
const LEAST_COLUMNS: usize = 2;

/// The space around a cell.
const PADDING: usize = 2;

/// What nobody looks for in a list: bookkeeping, and what is longer than a cell.
const LEFT_OUT: [&str; 4] = ["etag", "create_time", "update_time", "trust_bundle_pem"];

/// What an operator looks for in every list, whatever its number in the contract.
const STATES: [&str; 2] = ["state", "status"];

/// A column: a field, and how its values read.
#[derive(Debug)]
struct Column {
    name: String,
    field: Option<FieldDescriptor>,
}

/// Documents as a table. `contract` is the message that each is the JSON of, and `key` the names of the fields by which one is asked
/// for; without them fields come in the order of their names. `width` is that of the terminal, in characters; `None`: it is none.
pub fn render(
    documents: &[Value],
    contract: Option<&MessageDescriptor>,
    key: &[String],
    width: Option<usize>,
) -> String {
    let documents: Vec<&Map<String, Value>> = documents.iter().filter_map(Value::as_object).collect();
    let columns = columns(&documents, contract, key);
    let rows: Vec<Vec<String>> =
        documents.iter().map(|fields| columns.iter().map(|column| column.cell(fields)).collect()).collect();
    let count = fitting(&columns, &rows, width);

    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(columns[..count].iter().map(|column| column.name.to_uppercase()));
    for row in rows {
        table.add_row(&row[..count]);
    }
    let lines = table.to_string();
    let lines: Vec<&str> = lines.lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}

/// The columns that have something to show, the most important first.
fn columns(
    documents: &[&Map<String, Value>],
    contract: Option<&MessageDescriptor>,
    key: &[String],
) -> Vec<Column> {
    let mut columns: Vec<Column> = match contract {
        Some(contract) => {
            let column =
                |field: FieldDescriptor| Column { name: field.name().to_owned(), field: Some(field) };
            contract.fields().map(column).collect()
        }
        None => {
            let mut names: Vec<&String> = documents.iter().flat_map(|fields| fields.keys()).collect();
            names.sort();
            names.dedup();
            names.into_iter().map(|name| Column { name: name.clone(), field: None }).collect()
        }
    };
    columns.retain(|column| {
        let is_wanted = !LEFT_OUT.contains(&column.name.as_str());
        let is_shown = |fields: &&Map<String, Value>| {
            fields.contains_key(&column.name) && !column.text(fields).is_empty()
        };
        is_wanted && documents.iter().any(is_shown)
    });
    // What is asked for by another name than its own is named by its first field.
    let named_first = match contract {
        Some(contract) if !contract.fields().any(|field| key.iter().any(|key| key == field.name())) => {
            contract.fields().next().map(|field| field.name().to_owned())
        }
        _ => None,
    };
    // A stable sort: within each group the order of the contract stays.
    columns.sort_by_key(|column| {
        let in_key = key.iter().chain(&named_first).position(|name| *name == column.name);
        let is_state = STATES.contains(&column.name.as_str());
        let is_bulky = column.is_bulky() || column.holds_uuids(documents);
        (in_key.is_none(), in_key, !is_state, is_bulky)
    });
    columns
}

/// How many of the columns fit.
fn fitting(columns: &[Column], rows: &[Vec<String>], width: Option<usize>) -> usize {
    let Some(width) = width else { return columns.len().min(COLUMN_LIMIT) };
    let mut used = 0;
    let fits = |(index, column): (usize, &Column)| {
        let cells = rows.iter().map(|row| row[index].chars().count());
        used += cells.chain([column.name.len()]).max().unwrap_or_default() + PADDING;
        used <= width
    };
    let count = columns.iter().enumerate().map(fits).take_while(|fits| *fits).count();
    count.max(LEAST_COLUMNS).min(columns.len())
}

impl Column {
    /// Lists and messages, which say less in a cell than they are wide.
    fn is_bulky(&self) -> bool {
        self.field.as_ref().is_some_and(|field| {
            let is_message = matches!(field.kind(), Kind::Message(message) if !is_time(&message));
            field.is_list() || is_message
        })
    }

    /// Identifiers that say nothing to people.
    fn holds_uuids(&self, documents: &[&Map<String, Value>]) -> bool {
        let mut texts = documents.iter().map(|fields| self.text(fields)).filter(|text| !text.is_empty());
        texts.all(|text| uuid::Uuid::try_parse(&text).is_ok())
    }

    fn cell(&self, fields: &Map<String, Value>) -> String {
        let text = self.text(fields);
        match text.chars().count() {
            0 => "-".to_owned(),
            length if length > CELL_LIMIT => text.chars().take(CELL_LIMIT - 1).chain(['…']).collect(),
            _ => text,
        }
    }

    fn text(&self, fields: &Map<String, Value>) -> String {
        match fields.get(&self.name) {
            Some(value) => text(value, self.field.as_ref()),
            // The JSON of a message leaves out numbers that are zero.
            None if self.is_number() => "0".to_owned(),
            None => String::new(),
        }
    }

    fn is_number(&self) -> bool {
        self.field.as_ref().is_some_and(|field| {
            let is_scalar = !field.is_list() && !field.supports_presence();
            is_scalar && matches!(field.kind(), Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64)
        })
    }
}

fn is_time(message: &MessageDescriptor) -> bool {
    message.full_name() == "google.protobuf.Timestamp"
}

/// A value in a few words. Enumeration values go without the name of their enumeration, times without fractions of a second; of a list of
/// messages and of a message the first part that names it is told.
fn text(value: &Value, field: Option<&FieldDescriptor>) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => plain(text, field),
        Value::Array(items) => match items.as_slice() {
            [] => String::new(),
            [Value::Object(_), more @ ..] => {
                let first = text(&items[0], field);
                if more.is_empty() { first } else { format!("{first} +{}", more.len()) }
            }
            items => items.iter().map(|item| text(item, field)).collect::<Vec<_>>().join(","),
        },
        Value::Object(fields) => of_message(fields, field),
        other => other.to_string(),
    }
}

fn plain(text: &str, field: Option<&FieldDescriptor>) -> String {
    match field.map(FieldDescriptor::kind) {
        Some(Kind::Enum(kind)) => {
            let prefix = kind.values().next().map(|first| first.name().replace("UNSPECIFIED", ""));
            prefix.and_then(|prefix| text.strip_prefix(&prefix)).unwrap_or(text).to_owned()
        }
        Some(Kind::Message(message)) if is_time(&message) => {
            text.split_once('.').map_or_else(|| text.to_owned(), |(seconds, _)| format!("{seconds}Z"))
        }
        _ => text.lines().next().unwrap_or_default().to_owned(),
    }
}

fn of_message(fields: &Map<String, Value>, field: Option<&FieldDescriptor>) -> String {
    let Some(Kind::Message(message)) = field.map(FieldDescriptor::kind) else {
        return fields.values().map(|value| text(value, None)).collect::<Vec<_>>().join(" ");
    };
    // Its own plain parts in their order, such as service and identity; what is nested deeper has no place in a cell.
    let parts = message.fields().filter(|part| !part.is_list()).filter_map(|part| {
        let value = fields.get(part.name()).filter(|value| !value.is_object())?;
        Some(text(value, Some(&part)))
    });
    parts.take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use prost_reflect::DescriptorPool;
    use serde_json::json;

    use super::*;

    fn message(name: &str) -> MessageDescriptor {
        let pool = DescriptorPool::decode(mcx_proto::FILE_DESCRIPTOR_SET).unwrap();
        pool.get_message_by_name(name).unwrap()
    }

    fn header(table: &str) -> Vec<&str> {
        table.lines().next().unwrap().split_whitespace().collect()
    }

    fn groups() -> [Value; 2] {
        [
            json!({
                "group_id": "sip:rescue@alpha.example", "display_name": "R".repeat(60), "status": "GROUP_STATUS_ENABLED",
                "call": { "hang_timer": "5s" }, "etag": "7", "update_time": "2026-11-27T22:00:00.123456Z"
            }),
            json!({
                "group_id": "sip:fire@alpha.example", "mc_services": ["MC_SERVICE_PTT", "MC_SERVICE_DATA"], "priority": 4,
                "allow_visitors": true
            }),
        ]
    }

    #[test]
    fn key_comes_first_then_the_state_then_the_order_of_the_contract_and_bookkeeping_is_left_out() {
        let contract = message("mcx.group.v1.Group");
        let table = render(&groups(), Some(&contract), &["group_id".to_owned()], None);
        let expected = ["GROUP_ID", "STATUS", "DISPLAY_NAME", "PRIORITY", "ALLOW_VISITORS", "MC_SERVICES"];
        assert_eq!(header(&table)[..6], expected, "{table}");
        assert!(!table.contains("ETAG") && !table.contains("UPDATE_TIME"), "{table}");
        assert!(table.contains(" ENABLED ") && table.contains(" PTT,DATA"), "{table}");
        assert!(table.contains(&format!("{}…", "R".repeat(47))), "{table}");
    }

    #[test]
    fn columns_that_do_not_fit_the_terminal_are_left_out_from_the_end() {
        let contract = message("mcx.group.v1.Group");
        let key = ["group_id".to_owned()];
        for (width, count) in [(200, 6), (60, 2), (10, 2)] {
            let table = render(&groups(), Some(&contract), &key, Some(width));
            assert!(header(&table).len() >= count, "{width}: {table}");
            let widest = table.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= width || header(&table).len() == LEAST_COLUMNS, "{width}: {table}");
        }
    }

    #[test]
    fn messages_and_lists_of_them_are_told_by_what_names_them() {
        let contract = message("mcx.migration.v1.UserMigration");
        let service =
            |service: &str| json!({ "mc_service": service, "mc_service_id": "sip:alice@alpha.example" });
        let migration = json!({
            "migration_id": "0192", "state": "USER_MIGRATION_STATE_IN_FORCE",
            "primary_identities": { "impi": "alice@alpha.example", "impus": ["sip:alice@alpha.example"] },
            "primary_mc_service_identities": [service("MC_SERVICE_PTT"), service("MC_SERVICE_DATA")],
            "valid_until": "2026-11-27T22:00:00.5Z",
        });
        let table = render(&[migration], Some(&contract), &["migration_id".to_owned()], None);
        let row = table.lines().nth(1).unwrap();
        for cell in
            ["IN_FORCE", "alice@alpha.example", "PTT sip:alice@alpha.example +1", "2026-11-27T22:00:00Z"]
        {
            assert!(row.contains(cell), "{cell}: {table}");
        }
    }

    #[test]
    fn first_field_names_what_is_asked_for_by_another_name_and_zero_is_a_number() {
        let contract = message("mcx.sipdatabase.v1.Subscriber");
        let subscriber = json!({
            "identities": { "impi": "alice@alpha.example" }, "scheme": "AUTHENTICATION_SCHEME_DIGEST_AKAV1_MD5"
        });
        let table = render(&[subscriber], Some(&contract), &["impi".to_owned()], None);
        assert_eq!(header(&table)[0], "IDENTITIES");

        let contract = message("mcx.configuration.v1.UserProfile");
        let profile = |index: Option<u32>| {
            let mut profile = json!({
                "identity": { "mc_service": "MC_SERVICE_PTT", "mc_service_id": "sip:alice@alpha.example" },
                "profile_name": "duty",
            });
            if let Some(index) = index {
                profile["profile_index"] = index.into();
            }
            profile
        };
        let key = ["identity".to_owned(), "profile_index".to_owned()];
        let table = render(&[profile(None), profile(Some(1))], Some(&contract), &key, None);
        assert_eq!(header(&table)[..2], ["IDENTITY", "PROFILE_INDEX"]);
        let first: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(first[..3], ["PTT", "sip:alice@alpha.example", "0"]);
    }

    #[test]
    fn identifiers_that_say_nothing_come_behind_what_says_something() {
        let contract = message("mcx.migration.v1.UserMigration");
        let migration = json!({
            "migration_id": "01a21f66-5d60-7442-a33a-737c4e6615fe",
            "user_migration_request_id": "01a21f66-5d60-7442-a33a-737b935b8b45",
            "state": "USER_MIGRATION_STATE_IN_FORCE", "peer_mc_system_id": "bravo.example", "mc_id": "alice@alpha.example",
        });
        let table = render(&[migration], Some(&contract), &["migration_id".to_owned()], Some(110));
        assert_eq!(header(&table)[..4], ["MIGRATION_ID", "STATE", "PEER_MC_SYSTEM_ID", "MC_ID"]);
    }

    #[test]
    fn documents_without_a_contract_are_shown_by_the_names_of_their_fields() {
        let table = render(&[json!({ "outcome": "created", "document": 0 })], None, &[], Some(80));
        assert_eq!(header(&table), ["DOCUMENT", "OUTCOME"]);
    }
}
