//! Brings the resources of a system to what documents say: makes what is missing, changes what differs, leaves alone what fits.

use anyhow::{Context, Result, ensure};
use prost_reflect::{MessageDescriptor, MethodDescriptor};
use serde_json::{Map, Value};
use tonic::Code;

use super::{Catalogue, OperatorClient, Resource, Verb};

/// What shall be: the name of a resource beside the fields of its `Create…`, `Put…` or `Update…` request.
#[derive(Debug, Clone)]
pub struct Manifest {
    /// The name of the resource.
    pub kind: String,
    /// The request, without `request_id`.
    pub request: Map<String, Value>,
}

/// What was done, or would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// It was not there.
    Created,
    /// It was different.
    Updated,
    /// It fits already.
    Unchanged,
}

impl Applied {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
        }
    }
}

impl Manifest {
    /// Reads a document, or an array of them: `{"kind": "group", "group": {…}}`.
    ///
    /// # Errors
    /// Where one is no object or names no kind.
    pub fn read_all(document: Value) -> Result<Vec<Self>> {
        let documents = match document {
            Value::Array(documents) => documents,
            one => vec![one],
        };
        documents
            .into_iter()
            .enumerate()
            .map(|(index, document)| {
                let Value::Object(mut request) = document else {
                    anyhow::bail!("document {index} is not an object")
                };
                let kind = match request.remove("kind") {
                    Some(Value::String(kind)) => kind,
                    _ => anyhow::bail!("document {index} has no kind"),
                };
                Ok(Self { kind, request })
            })
            .collect()
    }
}

/// Whether manifests have the form that the contract gives them; nothing is sent.
///
/// # Errors
/// All that do not, each with its position.
pub fn check_form(client: &OperatorClient, catalogue: &Catalogue, manifests: &[Manifest]) -> Result<()> {
    let problem = |manifest: &Manifest| -> Result<()> {
        let method = making(catalogue.resource(&manifest.kind)?)?;
        Ok(client.check(method, &[Value::Object(manifest.request.clone())])?)
    };
    let problems: Vec<String> = manifests
        .iter()
        .enumerate()
        .filter_map(|(index, manifest)| {
            let error = problem(manifest).err()?;
            Some(format!("document {index}, {}: {error:#}", manifest.kind))
        })
        .collect();
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
}

/// Applies a manifest; with `dry_run` only tells what would be done.
///
/// # Errors
/// Where the system refuses, or the manifest is not of its kind.
pub async fn apply(
    client: &OperatorClient,
    catalogue: &Catalogue,
    manifest: &Manifest,
    dry_run: bool,
) -> Result<Applied> {
    let resource = catalogue.resource(&manifest.kind)?;
    let writes = resource
        .methods
        .get(&Verb::Put)
        .or_else(|| resource.methods.get(&Verb::Update))
        .or_else(|| resource.methods.get(&Verb::Create))
        .with_context(|| format!("{} cannot be written", resource.name))?;
    let field = document_field(&writes.input())
        .with_context(|| format!("{} takes no document", writes.full_name()))?;
    let wanted = manifest.request.get(&field).and_then(Value::as_object);
    let wanted = wanted.with_context(|| format!("a manifest of {} has the field {field}", resource.name))?;

    let present = present(client, resource, wanted).await?;
    let Some(present) = present else {
        if !dry_run {
            create(client, resource, manifest).await?;
        }
        return Ok(Applied::Created);
    };
    let merged = merge(&present, wanted);
    if merged == present {
        return Ok(Applied::Unchanged);
    }
    if !dry_run {
        let mut request = manifest.request.clone();
        request.insert(field, Value::Object(merged));
        // What is only said at creation, such as a first password, has no place in an update.
        request.retain(|name, _| writes.input().get_field_by_name(name).is_some());
        client.unary(resource.entity, writes, &Value::Object(request)).await?;
    }
    Ok(Applied::Updated)
}

/// The method that makes a resource that is not there.
fn making(resource: &Resource) -> Result<&MethodDescriptor> {
    [Verb::Put, Verb::Create, Verb::Update]
        .iter()
        .find_map(|verb| resource.methods.get(verb))
        .with_context(|| format!("{} cannot be made", resource.name))
}

async fn create(client: &OperatorClient, resource: &Resource, manifest: &Manifest) -> Result<()> {
    let method = making(resource)?;
    client.unary(resource.entity, method, &Value::Object(manifest.request.clone())).await?;
    Ok(())
}

/// The document as it stands in the system; `None`: it does not.
async fn present(
    client: &OperatorClient,
    resource: &Resource,
    wanted: &Map<String, Value>,
) -> Result<Option<Map<String, Value>>> {
    let Some(get) = resource.methods.get(&Verb::Get) else { return Ok(None) };
    let key = key_of(&get.input(), wanted);
    ensure!(
        !key.is_empty() || get.input().fields().len() == 0,
        "the document has none of the fields by which a {} is found",
        resource.name
    );
    match client.unary(resource.entity, get, &Value::Object(key)).await {
        Ok(mut answer) => {
            let field = document_field(&get.output());
            let document = field.and_then(|field| answer.get_mut(&field).map(Value::take));
            Ok(match document {
                Some(Value::Object(document)) => Some(document),
                _ => None,
            })
        }
        Err(error) if error.is(Code::NotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The fields of a `Get…` request that the document has too; of alternatives the first that it has.
fn key_of(request: &MessageDescriptor, wanted: &Map<String, Value>) -> Map<String, Value> {
    let mut key = Map::new();
    let mut chosen = Vec::new();
    for field in request.fields() {
        let Some(value) = wanted.get(field.name()) else { continue };
        if let Some(alternatives) = field.containing_oneof() {
            let name = alternatives.full_name().to_owned();
            if chosen.contains(&name) {
                continue;
            }
            chosen.push(name);
        }
        key.insert(field.name().to_owned(), value.clone());
    }
    key
}

/// The field that holds the document: the first that is a message.
fn document_field(message: &MessageDescriptor) -> Option<String> {
    message
        .fields()
        .find(|field| field.kind().as_message().is_some() && !field.is_list())
        .map(|field| field.name().to_owned())
}

/// The present document with what is wanted in the place of what it has. Fields that the manifest does not name stay; the `etag` is
/// that of the present document, so that nothing that came in between is overwritten.
fn merge(present: &Map<String, Value>, wanted: &Map<String, Value>) -> Map<String, Value> {
    let mut merged = present.clone();
    for (name, value) in wanted.iter().filter(|(name, _)| name.as_str() != "etag") {
        let value = match (merged.get(name), value) {
            (Some(Value::Object(present)), Value::Object(wanted)) => Value::Object(merge(present, wanted)),
            // What has its default is not written in JSON.
            (None, value) if is_default(value) => continue,
            _ => value.clone(),
        };
        merged.insert(name.clone(), value);
    }
    merged
}

fn is_default(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn merging_keeps_what_the_manifest_does_not_name_and_the_present_etag() {
        let present = object(json!({"etag": "7", "a": 1, "nested": {"x": 1, "y": 2}, "list": [1, 2]}));
        let wanted = object(json!({"etag": "1", "nested": {"y": 3}, "list": [2], "off": false}));
        let merged = merge(&present, &wanted);
        assert_eq!(
            Value::Object(merged),
            json!({"etag": "7", "a": 1, "nested": {"x": 1, "y": 3}, "list": [2]})
        );
    }

    #[test]
    fn document_that_fits_is_not_changed_by_merging() {
        let present = object(json!({"etag": "7", "a": 1, "nested": {"x": 1}}));
        assert_eq!(merge(&present, &object(json!({"a": 1, "nested": {"x": 1}, "empty": []}))), present);
    }

    #[test]
    fn key_of_a_resource_is_taken_from_its_document() {
        let catalogue = Catalogue::load().unwrap();
        let key = |kind: &str, document: Value| {
            let get = &catalogue.resource(kind).unwrap().methods[&Verb::Get];
            Value::Object(key_of(&get.input(), &object(document)))
        };
        assert_eq!(
            key("group", json!({"group_id": "sip:g@a.example", "display_name": "G"})),
            json!({"group_id": "sip:g@a.example"})
        );
        assert_eq!(
            key("account", json!({"mc_id": "alice", "subject": "s"})),
            json!({"mc_id": "alice"}),
            "of alternatives, one"
        );
    }

    #[test]
    fn manifest_without_a_kind_is_refused() {
        let refused = Manifest::read_all(json!([{"kind": "group", "group": {}}, {"group": {}}])).unwrap_err();
        assert_eq!(refused.to_string(), "document 1 has no kind");
    }
}
