//! How durations are described to those who write configuration files.

use schemars::{Schema, SchemaGenerator, json_schema};

/// The schema of a duration that `humantime_serde` reads: `#[schemars(schema_with = "duration_schema")]`.
pub fn duration_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "description": "A duration such as 250ms, 30s or 5m.",
        "examples": ["250ms", "30s", "5m"],
    })
}
