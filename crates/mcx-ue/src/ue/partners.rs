//! Where a user may migrate to, by her user profiles of the primary MC system (TS 23.280 10.1.1.2).

use std::collections::{BTreeMap, BTreeSet};

use mcx_proto::configuration::v1::geographic_area::Shape;
use mcx_proto::configuration::v1::{GeographicArea, GeographicPosition, MigrationSelection, UserProfile};
use mcx_proto::types::v1::AccessInformation;
use mcx_types::{McService, McServiceId, McSystemId, Violations};

use crate::documents::Documents;
use crate::selection::{Area, Position, SelectionRule};

/// A partner MC system that user profiles name.
#[derive(Debug, Clone, PartialEq)]
pub struct PartnerOption {
    /// The partner.
    pub partner: McSystemId,
    /// The MC services for which user profiles name it and it has accepted the user; empty: not accepted yet.
    pub services: BTreeSet<McService>,
    /// What the user needs to reach it; absent until it has accepted her.
    pub access_information: Option<Box<AccessInformation>>,
    /// When the UE chooses it by itself; absent: never.
    pub rule: Option<SelectionRule>,
}

/// The partners that the user profiles name, in the order of their names.
pub(super) fn partners(documents: &Documents) -> Vec<PartnerOption> {
    let mut options: BTreeMap<McSystemId, PartnerOption> = BTreeMap::new();
    for (service, _, profile) in documents.user_profiles() {
        for target in &profile.migration_targets {
            let Ok(partner) = target.mc_system_id.parse::<McSystemId>() else {
                tracing::warn!(%service, "a user profile names a partner that is no mc system");
                continue;
            };
            let option = options.entry(partner.clone()).or_insert_with(|| PartnerOption {
                partner: partner.clone(),
                services: BTreeSet::new(),
                access_information: None,
                rule: None,
            });
            if let Some(selection) = &target.selection {
                add_rule(option, selection);
            }
            let Some(access_information) = &target.access_information else { continue };
            if identity_in(access_information, service).is_some() {
                option.services.insert(service);
                option.access_information.get_or_insert_with(|| Box::new(access_information.clone()));
            }
        }
    }
    options.into_values().collect()
}

/// Who the user is in one MC service of the partner.
pub(super) fn identity_in(information: &AccessInformation, service: McService) -> Option<McServiceId> {
    Violations::new()
        .mc_service_identities("mc_service_identities", &information.mc_service_identities)?
        .remove(&service)
}

/// Who the user is in one MC service, by a user profile for it.
pub(super) fn identity_of(profile: &UserProfile) -> Option<McServiceId> {
    profile.identity.as_ref()?.mc_service_id.parse().ok()
}

/// What one user profile says of a partner is added to what others say.
fn add_rule(option: &mut PartnerOption, selection: &MigrationSelection) {
    let rule = option.rule.get_or_insert_with(|| SelectionRule {
        partner: option.partner.clone(),
        serving_plmns: BTreeSet::new(),
        areas: Vec::new(),
    });
    rule.serving_plmns.extend(selection.serving_plmns.iter().filter_map(|plmn| plmn.parse().ok()));
    rule.areas.extend(selection.areas.iter().filter_map(area));
}

fn area(area: &GeographicArea) -> Option<Area> {
    match area.shape.as_ref()? {
        Shape::Circle(circle) => {
            Area::circle(position(circle.centre.as_ref()?)?, f64::from(circle.radius_metres)).ok()
        }
        Shape::Polygon(polygon) => {
            let corners: Option<Vec<Position>> = polygon.corners.iter().map(position).collect();
            Area::polygon(corners?).ok()
        }
    }
}

fn position(position: &GeographicPosition) -> Option<Position> {
    Position::new(position.latitude_degrees, position.longitude_degrees).ok()
}
