//! Everything wrong with one request, collected so that the caller hears of all of it at once.

use std::fmt::Display;
use std::str::FromStr;

/// One field that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The path of the field, for example `binding.partner_identities.impus[2]`.
    pub field: String,
    /// What the field must be, without repeating its value.
    pub description: String,
}

/// Collects violations while a request is decoded.
///
/// The pattern of every `api/` module: read each field through the collector, which yields an `Option`, and ask
/// [`Violations::finish`] once at the end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// A collector that has seen nothing wrong.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes that a field is not as it must be.
    pub fn add(&mut self, field: impl Into<String>, description: impl Display) {
        self.0.push(Violation { field: field.into(), description: description.to_string() });
    }

    /// Parses a required text field, or notes why it cannot be.
    pub fn parse<T>(&mut self, field: impl Into<String>, text: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        self.accept(field, text.parse())
    }

    /// Takes the value of a conversion, or notes why there is none.
    pub fn accept<T, E: Display>(&mut self, field: impl Into<String>, value: Result<T, E>) -> Option<T> {
        value.map_err(|error| self.add(field, error)).ok()
    }

    /// Takes the value of a required field, or notes that it is missing.
    pub fn require<T>(&mut self, field: impl Into<String>, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.add(field, "is required");
        }
        value
    }

    /// Whether nothing wrong was seen.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was seen, in the order it was seen.
    pub fn as_slice(&self) -> &[Violation] {
        &self.0
    }

    /// The decoded request, or all that is wrong with it.
    ///
    /// # Errors
    /// The violations themselves where there are any.
    ///
    /// # Panics
    /// If `decoded` is `None` although nothing was noted, which is a mistake in the decoder.
    pub fn finish<T>(self, decoded: Option<T>) -> Result<T, Self> {
        if self.is_empty() {
            Ok(decoded.expect("a field that could not be decoded is noted"))
        } else {
            Err(self)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Impi, McSystemId};

    #[test]
    fn all_violations_are_reported_in_the_order_of_the_fields() {
        let mut violations = Violations::new();
        let impi = violations.parse::<Impi>("impi", "nobody");
        let system = violations.parse::<McSystemId>("mc_system_id", "alpha.example");
        let limit = violations.require::<u32>("limit", None);
        let outcome = violations.finish(impi.zip(system).zip(limit));
        let fields: Vec<String> =
            outcome.unwrap_err().as_slice().iter().map(|violation| violation.field.clone()).collect();
        assert_eq!(fields, ["impi", "limit"]);
    }
}
