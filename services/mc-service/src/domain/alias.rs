//! Functional aliases in force, as functional alias management tells them (TS 23.280 A.7).

/// A functional alias, as far as it concerns one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AliasForUser {
    /// Whether she, as a user of this MC system, is among those who may activate it.
    pub is_allowed_user: bool,
    /// Whether visitors may, whose user profile names it.
    pub allow_visitors: bool,
    /// By how many users it may be active at one time; at least 1.
    pub max_activations: u32,
    /// Whether it may be taken over from a user who has it.
    pub take_over: bool,
}
