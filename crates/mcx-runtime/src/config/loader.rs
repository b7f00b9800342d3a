//! Merging the sources of a configuration, and finding everything that is wrong with it.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use config::{Map, Value, ValueKind};
use mcx_types::Violations;

use super::{ENVIRONMENT_PREFIX, EXIT_CONFIGURATION, Settings};

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key, such as `server.listen`; empty where the problem is with a source as a whole.
    pub key: String,
    /// What is wrong.
    pub what: String,
    /// The file, variable or flag that the value came from; `None` for a default.
    pub origin: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            write!(formatter, "{}: ", self.key)?;
        }
        formatter.write_str(&self.what)?;
        match &self.origin {
            Some(origin) => write!(formatter, " (from {origin})"),
            None => Ok(()),
        }
    }
}

/// Why a configuration is refused: everything that is wrong with it, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The problems; never empty.
    pub problems: Vec<Problem>,
}

impl ConfigError {
    /// The status with which the process ends.
    pub fn exit_code(&self) -> u8 {
        EXIT_CONFIGURATION
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the configuration is refused")?;
        for problem in &self.problems {
            write!(formatter, "\n  {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Loads a configuration; later sources win over earlier ones, key by key.
#[derive(Debug, Default)]
pub struct Loader {
    files: Vec<(PathBuf, bool)>,
    /// Variables that are configuration only if there is such a key outside of all sections.
    unsectioned: Vec<(String, String)>,
    pairs: Vec<Pair>,
    problems: Vec<Problem>,
}

/// One key set by a variable or a flag.
#[derive(Debug, Clone)]
struct Pair {
    key: String,
    value: Value,
}

impl Loader {
    /// A loader that knows the defaults only.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a TOML file, which must exist.
    #[must_use]
    pub fn file(mut self, path: impl AsRef<Path>) -> Self {
        self.files.push((path.as_ref().to_owned(), true));
        self
    }

    /// Adds a TOML file, which need not exist.
    #[must_use]
    pub fn optional_file(mut self, path: impl AsRef<Path>) -> Self {
        self.files.push((path.as_ref().to_owned(), false));
        self
    }

    /// Adds the variables `CROSSBAND_<SECTION>__<KEY>` of the process.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn environment(self) -> Self {
        let text_of = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        self.variables(std::env::vars_os().map(|(name, text)| (text_of(name), text_of(text))))
    }

    /// Adds variables as if they were those of the process.
    ///
    /// Variables without the prefix are not configuration. Those without `__` are only if they name a key outside of all
    /// sections: Kubernetes puts its own `CROSSBAND_…_SERVICE_HOST` into the environment of every pod beside a service of
    /// that name.
    #[must_use]
    pub fn variables(mut self, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let sorted: BTreeMap<String, String> = variables.into_iter().collect();
        for (name, text) in sorted {
            let Some(path) = name.strip_prefix(ENVIRONMENT_PREFIX) else { continue };
            if !path.contains("__") {
                self.unsectioned.push((name, text));
                continue;
            }
            let key = path.to_lowercase().replace("__", ".");
            let origin = format!("environment variable {name}");
            self.pair(key, &text, &origin);
        }
        self
    }

    /// Sets one key on behalf of a flag of the command line, which wins over every source before it.
    #[must_use]
    pub fn flag(mut self, flag: &str, key: &str, text: &str) -> Self {
        self.pair(key.to_owned(), text, &format!("flag {flag}"));
        self
    }

    fn pair(&mut self, key: String, text: &str, origin: &str) {
        let origin = origin.to_owned();
        if !text.starts_with(['[', '{']) {
            // Left as text: numbers and booleans are read from it where the setting wants them.
            self.pairs.push(Pair { key, value: Value::new(Some(&origin), text) });
            return;
        }
        match format!("value = {text}").parse::<toml::Table>().map(|mut table| table.remove("value")) {
            Ok(Some(value)) => self.pairs.push(Pair { key, value: value_of(value, &origin) }),
            Ok(None) | Err(_) => {
                let what = "begins like a list or table but is not one of TOML".to_owned();
                self.problems.push(Problem { key, what, origin: Some(origin) });
            }
        }
    }

    /// Sets the keys outside of all sections that variables name, before those of flags, which win.
    fn take_unsectioned(&mut self, schema: &serde_json::Value) {
        let later = std::mem::take(&mut self.pairs);
        for (name, text) in std::mem::take(&mut self.unsectioned) {
            let key = name.strip_prefix(ENVIRONMENT_PREFIX).unwrap_or(&name).to_lowercase();
            if schema["properties"].get(&key).is_some() {
                self.pair(key, &text, &format!("environment variable {name}"));
            }
        }
        self.pairs.extend(later);
    }

    /// Merges the sources and validates the outcome.
    ///
    /// # Errors
    /// [`ConfigError`] with every problem there is: files that cannot be read, unknown keys, values of the wrong
    /// type, and what [`Settings::validate`] finds in the rest.
    pub fn load<S: Settings>(mut self) -> Result<S, ConfigError> {
        self.take_unsectioned(&super::schema::<S>());
        let Self { files, pairs, mut problems, .. } = self;
        let mut tree = Value::new(None, Map::<String, Value>::new());
        for (path, is_required) in files {
            let origin = path.display().to_string();
            match std::fs::read_to_string(&path) {
                Ok(text) => match text.parse::<toml::Table>() {
                    Ok(table) => merge(&mut tree, value_of(toml::Value::Table(table), &origin)),
                    Err(error) => problems.push(syntax_problem(&text, &error, origin)),
                },
                Err(error) if !is_required && error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let what = format!("cannot be read: {error}");
                    problems.push(Problem { key: String::new(), what, origin: Some(origin) });
                }
            }
        }
        for Pair { key, value } in pairs {
            set(&mut tree, &key, value);
        }
        let settings: Option<S> = deserialize(&mut tree, &mut problems);
        if let Some(settings) = &settings {
            let mut violations = Violations::new();
            settings.validate(&mut violations);
            for violation in violations.as_slice() {
                // A value that could not be read has been replaced by its default, which is not to be judged.
                if problems.iter().all(|problem| problem.key != violation.field) {
                    problems.push(Problem {
                        key: violation.field.clone(),
                        what: violation.description.clone(),
                        origin: origin_of(&tree, &violation.field),
                    });
                }
            }
        }
        match settings {
            Some(settings) if problems.is_empty() => Ok(settings),
            _ => Err(ConfigError { problems }),
        }
    }
}

/// A file that is not TOML; told by its place, because the parser's own words repeat the line, which may be a secret.
fn syntax_problem(text: &str, error: &toml::de::Error, origin: String) -> Problem {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let what = format!("is not TOML at line {line}: {}", error.message());
    Problem { key: String::new(), what, origin: Some(origin) }
}

/// A value of TOML as one that remembers where it came from.
fn value_of(value: toml::Value, origin: &str) -> Value {
    let kind = match value {
        toml::Value::String(text) => ValueKind::String(text),
        toml::Value::Integer(number) => ValueKind::I64(number),
        toml::Value::Float(number) => ValueKind::Float(number),
        toml::Value::Boolean(boolean) => ValueKind::Boolean(boolean),
        toml::Value::Datetime(moment) => ValueKind::String(moment.to_string()),
        toml::Value::Array(values) => {
            ValueKind::Array(values.into_iter().map(|value| value_of(value, origin)).collect())
        }
        toml::Value::Table(table) => {
            ValueKind::Table(table.into_iter().map(|(key, value)| (key, value_of(value, origin))).collect())
        }
    };
    Value::new(Some(&origin.to_owned()), kind)
}

/// Lays a later source over earlier ones: tables key by key, everything else as a whole.
fn merge(into: &mut Value, later: Value) {
    let origin = later.origin().map(str::to_owned);
    match (&mut into.kind, later.kind) {
        (ValueKind::Table(table), ValueKind::Table(later)) => {
            for (key, value) in later {
                match table.get_mut(&key) {
                    Some(earlier) => merge(earlier, value),
                    None => {
                        table.insert(key, value);
                    }
                }
            }
        }
        (_, kind) => *into = Value::new(origin.as_ref(), kind),
    }
}

/// Reads the tree as often as it takes to find every key that cannot be read: each is noted and taken out.
fn deserialize<S: Settings>(tree: &mut Value, problems: &mut Vec<Problem>) -> Option<S> {
    loop {
        let error = match tree.clone().try_deserialize() {
            Ok(settings) => return Some(settings),
            Err(error) => error,
        };
        let (mut key, what) = describe(error);
        if let Some(unknown) = unknown_field(&what) {
            key = if key.is_empty() { unknown.to_owned() } else { format!("{key}.{unknown}") };
        }
        let origin = origin_of(tree, &key);
        problems.push(Problem { key: key.clone(), what, origin });
        if !remove(tree, &key) {
            // Something that is not there is missing; it has no default, so there is nothing to go on with.
            return None;
        }
    }
}

/// The key that an error is about, and its words without the key.
fn describe(error: config::ConfigError) -> (String, String) {
    match error {
        config::ConfigError::At { error, key, .. } => {
            let (inner_key, what) = describe(*error);
            (key.unwrap_or(inner_key), what)
        }
        config::ConfigError::Type { unexpected, expected, key, .. } => {
            (key.unwrap_or_default(), format!("is {unexpected}, but must be {expected}"))
        }
        config::ConfigError::NotFound(key) => (key, "is required".to_owned()),
        other => (String::new(), other.to_string()),
    }
}

fn unknown_field(what: &str) -> Option<&str> {
    let (name, _) = what.strip_prefix("unknown field `")?.split_once('`')?;
    Some(name)
}

/// The names along a key; elements of lists are not told apart, because a list comes from one source as a whole.
fn names(key: &str) -> impl Iterator<Item = &str> {
    key.split('[').next().unwrap_or_default().split('.').filter(|name| !name.is_empty())
}

fn set(tree: &mut Value, key: &str, value: Value) {
    let mut target = tree;
    for name in names(key) {
        if !matches!(target.kind, ValueKind::Table(_)) {
            *target = Value::new(None, Map::<String, Value>::new());
        }
        let ValueKind::Table(table) = &mut target.kind else { unreachable!("made a table above") };
        target = table.entry(name.to_owned()).or_insert_with(|| Value::new(None, ValueKind::Nil));
    }
    merge(target, value);
}

/// Takes the value at a key out, or the nearest value around it; whether there was one.
fn remove(tree: &mut Value, key: &str) -> bool {
    let mut names = names(key).peekable();
    let mut target = tree;
    while let Some(name) = names.next() {
        let ValueKind::Table(table) = &mut target.kind else { return false };
        let is_leaf = names.peek().is_none()
            || !matches!(table.get(name), Some(Value { kind: ValueKind::Table(_), .. }));
        if is_leaf {
            return table.remove(name).is_some();
        }
        target = table.get_mut(name).expect("looked up above");
    }
    false
}

/// Where the value at a key came from, or, where a table is meant, where its first value did.
fn origin_of(tree: &Value, key: &str) -> Option<String> {
    let mut target = tree;
    for name in names(key) {
        match &target.kind {
            ValueKind::Table(table) => target = table.get(name)?,
            _ => break,
        }
    }
    first_origin(target)
}

fn first_origin(value: &Value) -> Option<String> {
    let nested = || match &value.kind {
        ValueKind::Table(table) => table.values().find_map(first_origin),
        ValueKind::Array(values) => values.iter().find_map(first_origin),
        _ => None,
    };
    value.origin().map(str::to_owned).or_else(nested)
}
