//! What a visitor gets: her identities here, and the binding by which she is authenticated. TS 23.280 10.1.6.2 pre-condition 4.

use std::collections::{HashMap, HashSet};

use mcx_store::Transaction;
use mcx_types::{Timestamp, Validity};
use uuid::Uuid;

use crate::app::App;
use crate::domain::admission_policy::AdmissionPolicy;
use crate::domain::allotment::{distinct_name, visitor_name};
use crate::domain::binding::{BindingTerms, SignallingAccess, UseState};
use crate::domain::user_migration::{Grant, UserMigration};
use crate::error::Error;
use crate::store::{bindings, user_migrations};

impl App {
    /// Accepts users of one primary MC system, who are all let in by the policy. The agreement with it is locked.
    pub(super) async fn admit(
        &self,
        transaction: &mut Transaction,
        policy: &AdmissionPolicy,
        visitors: &mut [&mut UserMigration],
        now: Timestamp,
    ) -> Result<(), Error> {
        if visitors.is_empty() {
            return Ok(());
        }
        let names = self.names(transaction, visitors).await?;
        let mut kept: Vec<(Uuid, BindingTerms)> = Vec::with_capacity(visitors.len());
        for (visitor, name) in visitors.iter_mut().zip(names) {
            let services = policy.admitted_services(&visitor.primary_mc_service_ids);
            let visitor_identities = self.domains.sip_identities(&name);
            let mc_service_ids = self.domains.mc_service_ids(&name, &services);
            let (visitor_identities, mc_service_ids) = visitor_identities
                .zip(mc_service_ids)
                .ok_or_else(|| Error::Internal(format!("{name} cannot be allotted to a visitor")))?;
            visitor.valid_until = policy.valid_until(visitor.valid_until, now);
            let grant = Grant {
                visitor_identities: visitor_identities.clone(),
                mc_service_ids,
                scopes: policy.scopes_of(&services),
                granted_group_ids: policy.granted_group_ids.clone(),
                ue_configuration: None,
            };
            visitor.accept(grant, now);
            let terms = BindingTerms {
                partner_identities: visitor_identities,
                primary_identities: visitor.primary_identities.clone(),
                primary_mc_system_id: visitor.peer.clone(),
                signalling_access: SignallingAccess::FederatedAuth,
                state: UseState::Enabled,
                validity: Validity { from: None, until: visitor.valid_until },
            };
            kept.push((visitor.id, terms));
        }
        Ok(bindings::insert_kept(transaction, &kept, now).await?)
    }

    /// The name of each visitor here. She gets the one that she had before; nobody gets that of somebody else.
    async fn names(
        &self,
        transaction: &mut Transaction,
        visitors: &[&mut UserMigration],
    ) -> Result<Vec<String>, Error> {
        let names =
            visitors.iter().map(|visitor| visitor_name(&visitor.primary_identities.impi, &visitor.peer));
        let names: Vec<String> = names.collect();
        let identities: Vec<_> = names.iter().map(|name| self.domains.sip_identities(name)).collect();
        let impis = identities.iter().flatten().map(|identities| identities.impi.to_string());
        let impus = identities.iter().flatten().flat_map(|identities| &identities.impus);
        let impus = impus.map(ToString::to_string);
        let taken = user_migrations::taken_identities(transaction, impis, impus).await?;
        let mut holders: HashMap<String, HashSet<(String, String)>> = HashMap::with_capacity(taken.len());
        for (identity, system, subject) in taken {
            holders.entry(identity).or_default().insert((system, subject));
        }
        let mut used = HashSet::with_capacity(names.len());
        let mut chosen = Vec::with_capacity(names.len());
        for ((visitor, name), identities) in visitors.iter().zip(names).zip(identities) {
            let herself = (visitor.peer.to_string(), visitor.primary_subject.to_string());
            let is_of_another = |identity: &str| {
                holders.get(identity).is_some_and(|holders| holders.iter().any(|holder| *holder != herself))
            };
            let is_free = identities.is_some_and(|identities| {
                !is_of_another(identities.impi.as_str())
                    && !identities.impus.iter().any(|impu| is_of_another(impu.as_str()))
            });
            let name = if is_free && !used.contains(&name) { name } else { distinct_name(&name, visitor.id) };
            used.insert(name.clone());
            chosen.push(name);
        }
        Ok(chosen)
    }
}
