//! How results are printed: a table for people, JSON for programs; progress on a terminal only.

use std::io::{IsTerminal, Write, stderr, stdout};

use anyhow::Result;
use console::Term;
use crossband::admin::render;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use prost_reflect::MessageDescriptor;
use serde_json::Value;

/// The form of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum OutputFormat {
    /// A table; a single resource as indented JSON.
    Table,
    /// JSON.
    Json,
}

/// Prints results.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    format: OutputFormat,
}

impl Output {
    pub(super) fn new(format: OutputFormat) -> Self {
        Self { format }
    }

    /// Many answers.
    pub(super) fn documents(&self, documents: &[Value]) -> Result<()> {
        self.resources(documents, None, &[])
    }

    /// Many resources, with the message that each is, and the fields by which one is asked for.
    pub(super) fn resources(
        &self,
        documents: &[Value],
        contract: Option<&MessageDescriptor>,
        key: &[String],
    ) -> Result<()> {
        match self.format {
            OutputFormat::Json => writeln!(stdout(), "{}", serde_json::to_string_pretty(documents)?)?,
            OutputFormat::Table if documents.is_empty() => writeln!(stderr(), "there are none")?,
            OutputFormat::Table => {
                let size = Term::stdout().size_checked();
                let width = size.map(|(_, columns)| usize::from(columns));
                write!(stdout(), "{}", render(documents, contract, key, width))?;
            }
        }
        Ok(())
    }

    /// One resource, or one answer.
    pub(super) fn document(&self, document: &Value) -> Result<()> {
        writeln!(stdout(), "{}", serde_json::to_string_pretty(document)?)?;
        Ok(())
    }
}

/// A bar on standard error while many things are done; nothing where that is no terminal.
#[derive(Debug, Clone)]
pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn new(count: usize) -> Self {
        let target =
            if stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(count as u64), target);
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} {per_sec} {msg}") {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// So many are done.
    pub(super) fn reached(&self, count: usize) {
        self.0.set_position(count as u64);
    }

    /// So many of so many are done.
    pub(super) fn of(&self, count: u64, done: u64) {
        self.0.set_length(count);
        self.0.set_position(done);
    }

    /// What is going on, in a few words.
    pub(super) fn says(&self, text: String) {
        self.0.set_message(text);
    }

    /// Removes the bar.
    pub(super) fn end(&self) {
        self.0.finish_and_clear();
    }
}
