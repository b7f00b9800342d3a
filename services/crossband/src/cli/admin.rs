//! `crossband admin`: an operator's commands.

mod output;
mod user_migration;

use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use crossband::admin::{Catalogue, Manifest, OperatorClient, Verb, apply, check_form};
use prost_reflect::FieldDescriptor;
use serde_json::{Map, Value, json};

use super::target::TargetArguments;
use output::{Output, OutputFormat, Progress};

#[derive(Debug, Args)]
pub(super) struct AdminArguments {
    #[command(flatten)]
    target: TargetArguments,
    /// How results are printed.
    #[arg(short, long, value_enum, default_value = "table", global = true)]
    output: OutputFormat,
    #[command(subcommand)]
    command: AdminCommand,
}

#[derive(Debug, Subcommand)]
enum AdminCommand {
    /// Lists what can be managed, and by which verbs.
    Resources,
    /// Lists the resources of a kind.
    List {
        /// The kind, such as user-profile.
        kind: String,
        /// Only those with this value, as FIELD=VALUE of the list request.
        #[arg(long, value_name = "FIELD=VALUE")]
        filter: Vec<String>,
        /// At most so many.
        #[arg(long, default_value_t = 10_000)]
        limit: usize,
    },
    /// Shows one resource.
    Get {
        /// The kind.
        kind: String,
        /// The key: a value, or FIELD=VALUE for each field of the get request; values may be JSON.
        key: Vec<String>,
    },
    /// Makes resources what a file says: creates what is missing, updates what differs.
    Apply {
        /// A JSON document or an array of them, each with a kind; `-` is standard input.
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
        /// Only check the form of the documents, and say what would be done; whether the system would take them is not asked.
        #[arg(long)]
        dry_run: bool,
    },
    /// Removes one resource.
    Delete {
        /// The kind.
        kind: String,
        /// The key, as for get.
        key: Vec<String>,
        /// Only say whether it is there.
        #[arg(long)]
        dry_run: bool,
    },
    /// Makes many resources of a kind from a file of JSON lines, each an import request.
    Import {
        /// The kind.
        kind: String,
        /// The file; `-` is standard input.
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
        /// Only check the file.
        #[arg(long)]
        dry_run: bool,
    },
    /// Calls any method that operators may call, with a JSON document.
    Call {
        /// The method, such as AuditService/ListAuditRecords.
        method: String,
        /// The request.
        #[arg(short, long, value_name = "JSON", default_value = "{}")]
        data: String,
    },
    /// The migration of users to partners and from them, TS 23.280 10.17.5.
    #[command(subcommand)]
    UserMigration(user_migration::UserMigrationCommand),
}

/// What the commands work with.
struct Session {
    catalogue: Catalogue,
    client: OperatorClient,
    output: Output,
}

pub(super) async fn run(arguments: AdminArguments) -> Result<bool> {
    let catalogue = Catalogue::load()?;
    let output = Output::new(arguments.output);
    if matches!(arguments.command, AdminCommand::Resources) {
        list_resources(&catalogue, &output)?;
        return Ok(true);
    }
    let client = OperatorClient::new(arguments.target.connect()?);
    let session = Session { catalogue, client, output };
    match arguments.command {
        AdminCommand::Resources => Ok(true),
        AdminCommand::List { kind, filter, limit } => session.list(&kind, &filter, limit).await,
        AdminCommand::Get { kind, key } => session.get(&kind, &key).await,
        AdminCommand::Apply { file, dry_run } => session.apply(&file, dry_run).await,
        AdminCommand::Delete { kind, key, dry_run } => session.delete(&kind, &key, dry_run).await,
        AdminCommand::Import { kind, file, dry_run } => session.import(&kind, &file, dry_run).await,
        AdminCommand::Call { method, data } => session.call(&method, &data).await,
        AdminCommand::UserMigration(command) => user_migration::run(&session, command).await,
    }
}

fn list_resources(catalogue: &Catalogue, output: &Output) -> Result<()> {
    let documents: Vec<Value> = catalogue
        .resources()
        .iter()
        .map(|resource| {
            let verbs: Vec<&str> = resource.methods.keys().map(|verb| verb.as_str()).collect();
            json!({ "kind": resource.name, "entity": resource.entity.as_str(), "verbs": verbs })
        })
        .collect();
    output.resources(&documents, None, &["kind".to_owned()])
}

impl Session {
    async fn list(&self, kind: &str, filter: &[String], limit: usize) -> Result<bool> {
        let resource = self.catalogue.resource(kind)?;
        let Some(method) = resource.methods.get(&Verb::List) else { bail!("{kind} cannot be listed") };
        let filter = fields(filter)?;
        let documents = self.client.list(resource.entity, method, &filter, limit).await?;
        let listed = method.output().fields().find(FieldDescriptor::is_list);
        let contract = listed.and_then(|field| field.kind().as_message().cloned());
        let key: Vec<String> = match resource.methods.get(&Verb::Get) {
            Some(get) => get.input().fields().map(|field| field.name().to_owned()).collect(),
            None => Vec::new(),
        };
        self.output.resources(&documents, contract.as_ref(), &key)?;
        Ok(true)
    }

    async fn get(&self, kind: &str, key: &[String]) -> Result<bool> {
        let resource = self.catalogue.resource(kind)?;
        let Some(method) = resource.methods.get(&Verb::Get) else { bail!("{kind} cannot be read alone") };
        let request = key_request(&method.input(), key)?;
        let answer = self.client.unary(resource.entity, method, &request).await?;
        self.output.document(&answer)?;
        Ok(true)
    }

    async fn apply(&self, file: &Path, dry_run: bool) -> Result<bool> {
        let document =
            serde_json::from_str(&read(file)?).with_context(|| format!("{} is not JSON", file.display()))?;
        let manifests = Manifest::read_all(document)?;
        // A mistake in the last one shall leave nothing half done.
        check_form(&self.client, &self.catalogue, &manifests)?;
        let progress = Progress::new(manifests.len());
        let mut done = Vec::with_capacity(manifests.len());
        for (index, manifest) in manifests.iter().enumerate() {
            let applied = apply(&self.client, &self.catalogue, manifest, dry_run)
                .await
                .with_context(|| format!("document {index}, {}", manifest.kind))?;
            progress.reached(index + 1);
            let outcome = applied.as_str();
            let outcome = if dry_run { format!("{outcome} (dry run)") } else { outcome.to_owned() };
            done.push(json!({ "document": index, "kind": manifest.kind, "outcome": outcome }));
        }
        progress.end();
        self.output.documents(&done)?;
        Ok(true)
    }

    async fn delete(&self, kind: &str, key: &[String], dry_run: bool) -> Result<bool> {
        if dry_run {
            return self.get(kind, key).await;
        }
        let resource = self.catalogue.resource(kind)?;
        let Some(method) = resource.methods.get(&Verb::Delete) else { bail!("{kind} cannot be removed") };
        let request = key_request(&method.input(), key)?;
        let answer = self.client.unary(resource.entity, method, &request).await?;
        self.output.document(&answer)?;
        Ok(true)
    }

    async fn import(&self, kind: &str, file: &Path, dry_run: bool) -> Result<bool> {
        let resource = self.catalogue.resource(kind)?;
        let Some(method) = resource.methods.get(&Verb::Import) else { bail!("{kind} cannot be imported") };
        let documents = read(file)?
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty())
            .map(|(index, line)| {
                serde_json::from_str(line).with_context(|| format!("line {} is not JSON", index + 1))
            })
            .collect::<Result<Vec<Value>>>()?;
        if dry_run {
            self.client.check(method, &documents)?;
            self.output.document(&json!({ "checked_count": documents.len() }))?;
            return Ok(true);
        }
        let progress = Progress::new(documents.len());
        let reached = progress.clone();
        let answer = self
            .client
            .client_stream(resource.entity, method, &documents, move |count| reached.reached(count))
            .await?;
        progress.end();
        let is_complete = answer.get("refused_count").is_none_or(|count| count.as_u64() == Some(0));
        self.output.document(&answer)?;
        Ok(is_complete)
    }

    async fn call(&self, method: &str, data: &str) -> Result<bool> {
        let (entity, method) = self.catalogue.method(method)?;
        let request: Value = serde_json::from_str(data).context("--data is not JSON")?;
        if method.is_client_streaming() {
            bail!("{} takes a stream; use import", method.full_name());
        }
        if method.is_server_streaming() {
            let mut failed = None;
            let each = |answer: Value| match self.output.document(&answer) {
                Ok(()) => true,
                Err(error) => {
                    failed = Some(error);
                    false
                }
            };
            self.client.server_stream(entity, method, &request, each).await?;
            return failed.map_or(Ok(true), Err);
        }
        let answer = self.client.unary(entity, method, &request).await?;
        self.output.document(&answer)?;
        Ok(true)
    }
}

/// The text of a file, or of standard input.
fn read(file: &Path) -> Result<String> {
    if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text)?;
        return Ok(text);
    }
    std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}

/// A request with a key: `FIELD=VALUE` for each field, or one value for the first field.
fn key_request(request: &prost_reflect::MessageDescriptor, key: &[String]) -> Result<Value> {
    if let [only] = key
        && !only.contains('=')
    {
        let first = request.fields().next().context("the kind has one resource only, and no key")?;
        return Ok(json!({ first.name(): value(only) }));
    }
    Ok(Value::Object(fields(key)?))
}

fn fields(pairs: &[String]) -> Result<Map<String, Value>> {
    pairs
        .iter()
        .map(|pair| {
            let (name, text) =
                pair.split_once('=').with_context(|| format!("{pair:?} is not FIELD=VALUE"))?;
            Ok((name.to_owned(), value(text)))
        })
        .collect()
}

/// JSON where it is an object, an array, a number or a truth value, else text.
fn value(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Object(_) | Value::Array(_) | Value::Number(_) | Value::Bool(_))) => value,
        _ => Value::String(text.to_owned()),
    }
}
