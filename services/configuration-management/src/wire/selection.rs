//! The rules by which a UE chooses a partner MC system by itself, TS 23.280 10.1.1.2 NOTE 1.

use mcx_proto::configuration::v1 as proto;
use mcx_proto::configuration::v1::geographic_area::Shape;
use mcx_types::Violations;

const PLMN_LIMIT: usize = 100;
const AREA_LIMIT: usize = 100;
const CORNERS: std::ops::RangeInclusive<usize> = 3..=100;
const RADIUS_METRES: std::ops::RangeInclusive<u32> = 1..=1_000_000;

/// Notes what is wrong with a rule.
pub(crate) fn check(violations: &mut Violations, field: &str, selection: &proto::MigrationSelection) {
    let plmns = &selection.serving_plmns;
    super::list(
        violations,
        &format!("{field}.serving_plmns"),
        plmns,
        PLMN_LIMIT,
        |violations, path, plmn| super::initial_ue_configuration::plmn(violations, path, plmn),
    );
    let areas = format!("{field}.areas");
    if selection.areas.len() > AREA_LIMIT {
        violations.add(areas, format_args!("must hold at most {AREA_LIMIT}"));
        return;
    }
    for (at, area) in selection.areas.iter().enumerate() {
        check_area(violations, &format!("{areas}[{at}]"), area);
    }
    if selection.serving_plmns.is_empty() && selection.areas.is_empty() {
        violations.add(field, "must name a plmn or an area");
    }
}

fn check_area(violations: &mut Violations, field: &str, area: &proto::GeographicArea) {
    match &area.shape {
        None => violations.add(format!("{field}.shape"), "is required"),
        Some(Shape::Circle(circle)) => {
            check_position(violations, &format!("{field}.circle.centre"), circle.centre.as_ref());
            let radius = format!("{field}.circle.radius_metres");
            super::number::<u32>(violations, radius, circle.radius_metres, RADIUS_METRES);
        }
        Some(Shape::Polygon(polygon)) => {
            let corners = format!("{field}.polygon.corners");
            if !CORNERS.contains(&polygon.corners.len()) {
                let description = format!("must hold {} to {}", CORNERS.start(), CORNERS.end());
                violations.add(corners.as_str(), description);
            }
            for (at, corner) in polygon.corners.iter().enumerate().take(*CORNERS.end()) {
                check_position(violations, &format!("{corners}[{at}]"), Some(corner));
            }
        }
    }
}

fn check_position(violations: &mut Violations, field: &str, position: Option<&proto::GeographicPosition>) {
    let Some(position) = violations.require(field, position) else { return };
    // NaN is in no range.
    if !(-90.0..=90.0).contains(&position.latitude_degrees) {
        violations.add(format!("{field}.latitude_degrees"), "must be -90 to 90");
    }
    if !(-180.0..=180.0).contains(&position.longitude_degrees) {
        violations.add(format!("{field}.longitude_degrees"), "must be -180 to 180");
    }
}
