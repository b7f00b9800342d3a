//! Which partner MC system a UE chooses by itself (TS 23.280 10.1.1.2 NOTE 1): by the PLMN that serves it, or by where it is.

mod area;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use mcx_types::McSystemId;

pub use area::{Area, AreaError, Position, PositionError};

/// A public land mobile network: MCC and MNC, 5 or 6 digits (TS 23.003 12.1). `26201` and `262001` are two networks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Plmn(String);

/// A text is not a PLMN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a plmn: mcc and mnc, 5 or 6 digits")]
pub struct PlmnError;

impl FromStr for Plmn {
    type Err = PlmnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_plmn = (5..=6).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_plmn { Ok(Self(text.to_owned())) } else { Err(PlmnError) }
    }
}

impl fmt::Display for Plmn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// When a partner is chosen without asking the user.
#[derive(Debug, Clone, PartialEq)]
pub struct SelectionRule {
    /// The partner.
    pub partner: McSystemId,
    /// The PLMNs that speak for it.
    pub serving_plmns: BTreeSet<Plmn>,
    /// The areas that speak for it.
    pub areas: Vec<Area>,
}

/// What the UE knows about where it is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Surroundings {
    /// The PLMN that serves it.
    pub serving_plmn: Option<Plmn>,
    /// Its position.
    pub position: Option<Position>,
}

/// What came of the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// One partner, and this is why.
    Partner(McSystemId, SelectionGround),
    /// No rule fits: the UE stays where it is.
    None,
    /// Several partners fit equally well: the user has to choose.
    Ambiguous(BTreeSet<McSystemId>),
}

/// Why a partner was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SelectionGround {
    /// Only its rule names the serving PLMN.
    ServingPlmn,
    /// Only its rule has an area around the position.
    Position,
    /// Of the rules that name the serving PLMN, only its has an area around the position.
    ServingPlmnAndPosition,
}

/// Applies the rules: the serving PLMN decides; among several partners that it speaks for, or where it speaks for none, the position
/// does. What that leaves undecided is not decided.
#[must_use]
pub fn select(rules: &[SelectionRule], surroundings: &Surroundings) -> Selection {
    let by_plmn = |rule: &&SelectionRule| {
        surroundings.serving_plmn.as_ref().is_some_and(|plmn| rule.serving_plmns.contains(plmn))
    };
    let by_position = |rule: &&SelectionRule| {
        surroundings.position.is_some_and(|position| rule.areas.iter().any(|area| area.contains(position)))
    };
    let partners = |rules: Vec<&SelectionRule>| -> BTreeSet<McSystemId> {
        rules.into_iter().map(|rule| rule.partner.clone()).collect()
    };
    let named = partners(rules.iter().filter(by_plmn).collect());
    if named.is_empty() {
        return one_of(partners(rules.iter().filter(by_position).collect()), SelectionGround::Position);
    }
    if named.len() == 1 {
        return one_of(named, SelectionGround::ServingPlmn);
    }
    let around: BTreeSet<McSystemId> =
        partners(rules.iter().filter(by_position).collect()).intersection(&named).cloned().collect();
    let narrowed = if around.is_empty() { named } else { around };
    one_of(narrowed, SelectionGround::ServingPlmnAndPosition)
}

fn one_of(partners: BTreeSet<McSystemId>, ground: SelectionGround) -> Selection {
    match (partners.len(), partners.first()) {
        (1, Some(partner)) => Selection::Partner(partner.clone(), ground),
        (0, _) => Selection::None,
        _ => Selection::Ambiguous(partners),
    }
}
