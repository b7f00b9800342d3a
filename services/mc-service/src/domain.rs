//! The rules of the MC service server: types and decisions, without input or output.
//!
//! | room | decides | TS 23.280 |
//! | --- | --- | --- |
//! | [`authorization`] | who is served here, and who may be served by a partner | 10.1.1.1, 10.1.4.6, 10.6.3 |
//! | [`affiliation`] | who is affiliated to which group | 10.8.3 |
//! | [`activation`] | who has which functional alias | 10.13 |
//! | [`communication`] | who may call whom | 10.1.1.1, TS 23.379 A.3 |
//! | [`profile`], [`group`], [`alias`] | what is in force, as other entities tell it | A.3, A.4, A.5, A.7 |
//! | [`user`] | who uses an MC service, on which client | 8.1.2 |

pub mod activation;
pub mod affiliation;
pub mod alias;
pub mod authorization;
pub mod communication;
pub mod group;
pub mod profile;
#[cfg(test)]
pub(crate) mod samples;
pub mod user;

/// The rule that decided, as the protocol names it; each of its values cites its clause.
pub use mcx_proto::mcservice::v1::DecisionRule as Rule;
/// Why an authorization ended, as the protocol names it.
pub use mcx_proto::mcservice::v1::EndReason;

/// The name of a rule, without the prefix of its enumeration: `GROUP_UNKNOWN`.
pub fn rule_name(rule: Rule) -> &'static str {
    let name = rule.as_str_name();
    name.strip_prefix("DECISION_RULE_").unwrap_or(name)
}

/// The name of a reason, without the prefix of its enumeration: `RECALLED`.
pub fn end_reason_name(reason: EndReason) -> &'static str {
    let name = reason.as_str_name();
    name.strip_prefix("END_REASON_").unwrap_or(name)
}
