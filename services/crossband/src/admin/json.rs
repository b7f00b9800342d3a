//! Between messages and their JSON (the proto3 JSON mapping, with the field names of the protos).

use prost_reflect::{DynamicMessage, MessageDescriptor, SerializeOptions};
use serde_json::Value;

use super::AdminError;

/// The message that a JSON document stands for. Unknown fields are refused, so that a mistyped one is not lost.
pub(super) fn decode(descriptor: &MessageDescriptor, document: &Value) -> Result<DynamicMessage, AdminError> {
    DynamicMessage::deserialize(descriptor.clone(), document).map_err(|error| AdminError::Document {
        message: descriptor.name().to_owned(),
        problem: error.to_string(),
    })
}

/// The JSON document of a message; fields that have their default are left out.
pub(super) fn encode(message: &DynamicMessage) -> Result<Value, AdminError> {
    let options = SerializeOptions::new().use_proto_field_name(true).stringify_64_bit_integers(false);
    message
        .serialize_with_options(serde_json::value::Serializer, &options)
        .map_err(|error| AdminError::Answer { problem: error.to_string() })
}
