use super::*;

fn system(name: &str) -> McSystemId {
    format!("{name}.example").parse().unwrap()
}

fn position(latitude: f64, longitude: f64) -> Position {
    Position::new(latitude, longitude).unwrap()
}

fn rule(partner: &str, plmns: &[&str], areas: Vec<Area>) -> SelectionRule {
    let serving_plmns = plmns.iter().map(|plmn| plmn.parse().unwrap()).collect();
    SelectionRule { partner: system(partner), serving_plmns, areas }
}

fn at(plmn: Option<&str>, place: Option<Position>) -> Surroundings {
    Surroundings { serving_plmn: plmn.map(|plmn| plmn.parse().unwrap()), position: place }
}

/// Around Aachen, where three countries meet.
fn aachen(radius_metres: f64) -> Area {
    Area::circle(position(50.7753, 6.0839), radius_metres).unwrap()
}

#[test]
fn serving_plmn_decides_then_position_and_doubt_decides_nothing() {
    let maastricht = position(50.8514, 5.6910);
    let liege = position(50.6326, 5.5797);
    let around_maastricht = Area::circle(maastricht, 15_000.0).unwrap();
    let around_liege = Area::circle(liege, 15_000.0).unwrap();
    let rules = [
        rule("bravo", &["20404", "20408"], vec![around_maastricht.clone()]),
        rule("charlie", &["20601", "20408"], vec![around_liege, around_maastricht]),
        rule("delta", &[], vec![aachen(60_000.0)]),
    ];
    let both = BTreeSet::from([system("bravo"), system("charlie")]);
    let cases = [
        ("only one names the plmn", Some("20404"), None, chosen("bravo", SelectionGround::ServingPlmn)),
        (
            "plmn outweighs a position that speaks for others",
            Some("20404"),
            Some(liege),
            chosen("bravo", SelectionGround::ServingPlmn),
        ),
        ("two name the plmn", Some("20408"), None, Selection::Ambiguous(both.clone())),
        (
            "two name the plmn, one is there",
            Some("20408"),
            Some(liege),
            chosen("charlie", SelectionGround::ServingPlmnAndPosition),
        ),
        (
            "two name the plmn, both are there",
            Some("20408"),
            Some(maastricht),
            Selection::Ambiguous(both.clone()),
        ),
        (
            "two name the plmn, only a third is there",
            Some("20408"),
            Some(position(50.7753, 6.0839)),
            Selection::Ambiguous(both),
        ),
        (
            "nobody names the plmn, one is there",
            Some("26201"),
            Some(position(50.7753, 6.0839)),
            chosen("delta", SelectionGround::Position),
        ),
        (
            "no plmn, one is there",
            None,
            Some(position(50.9, 6.3)),
            chosen("delta", SelectionGround::Position),
        ),
        (
            "plmns are compared whole: 5 digits are no prefix of 6",
            Some("204040"),
            Some(position(52.5, 13.4)),
            Selection::None,
        ),
        ("nothing fits", Some("26201"), Some(position(52.5, 13.4)), Selection::None),
        ("nothing is known", None, None, Selection::None),
    ];
    for (name, plmn, place, expected) in cases {
        assert_eq!(select(&rules, &at(plmn, place)), expected, "{name}");
    }
}

fn chosen(partner: &str, ground: SelectionGround) -> Selection {
    Selection::Partner(system(partner), ground)
}

#[test]
fn two_rules_of_one_partner_are_not_in_doubt() {
    let rules = [rule("bravo", &["20404"], Vec::new()), rule("bravo", &["20404"], Vec::new())];
    assert_eq!(select(&rules, &at(Some("20404"), None)), chosen("bravo", SelectionGround::ServingPlmn));
    assert_eq!(select(&[], &at(Some("20404"), None)), Selection::None);
}

#[test]
fn circle_is_as_wide_on_the_ground_as_it_says() {
    // From Aachen to Cologne cathedral it is more than 60 km and less than 67 km.
    let cologne = position(50.9413, 6.9583);
    for (radius, is_inside) in [(60_000.0, false), (67_000.0, true)] {
        assert_eq!(aachen(radius).contains(cologne), is_inside, "{radius}");
    }
    assert!(aachen(1.0).contains(position(50.7753, 6.0839)));
    // A degree of longitude at 60° north is half as long as at the equator.
    let north = Area::circle(position(60.0, 10.0), 56_000.0).unwrap();
    assert!(north.contains(position(60.0, 11.0)) && !north.contains(position(61.0, 10.0)));
}

#[test]
fn polygon_holds_what_its_line_goes_around() {
    let square = |south: f64, west: f64, north: f64, east: f64| {
        Area::polygon(vec![
            position(south, west),
            position(south, east),
            position(north, east),
            position(north, west),
        ])
        .unwrap()
    };
    let notched = Area::polygon(vec![
        position(0.0, 0.0),
        position(0.0, 10.0),
        position(10.0, 10.0),
        position(2.0, 5.0),
        position(10.0, 0.0),
    ])
    .unwrap();
    let around_pole =
        Area::polygon((0..6).map(|step| position(80.0, f64::from(step) * 60.0 - 180.0)).collect()).unwrap();
    let cases = [
        ("in the middle", &square(50.0, 5.0, 51.0, 7.0), position(50.5, 6.0), true),
        ("west of it", &square(50.0, 5.0, 51.0, 7.0), position(50.5, 4.9), false),
        ("north of it", &square(50.0, 5.0, 51.0, 7.0), position(51.2, 6.0), false),
        ("a corner", &square(50.0, 5.0, 51.0, 7.0), position(50.0, 5.0), true),
        ("other side of the earth", &square(50.0, 5.0, 51.0, 7.0), position(-50.5, -174.0), false),
        (
            "across the 180th meridian, east",
            &square(-20.0, 177.0, -15.0, -178.0),
            position(-17.0, -179.0),
            true,
        ),
        (
            "across the 180th meridian, west",
            &square(-20.0, 177.0, -15.0, -178.0),
            position(-17.0, 178.0),
            true,
        ),
        ("on the other side of it", &square(-20.0, 177.0, -15.0, -178.0), position(-17.0, -176.0), false),
        ("southern and western half", &square(-35.0, -59.0, -34.0, -58.0), position(-34.6, -58.4), true),
        ("left arm", &notched, position(6.0, 1.0), true),
        ("in the notch", &notched, position(6.0, 5.0), false),
        ("below the notch", &notched, position(1.0, 5.0), true),
        ("the pole", &around_pole, position(90.0, 0.0), true),
        ("near the pole", &around_pole, position(85.0, 33.0), true),
        ("far from the pole", &around_pole, position(70.0, 33.0), false),
    ];
    for (name, area, place, is_inside) in cases {
        assert_eq!(area.contains(place), is_inside, "{name}");
    }
}

#[test]
fn what_is_no_position_area_or_plmn_is_refused() {
    for (latitude, longitude) in [(90.1, 0.0), (0.0, 180.5), (f64::NAN, 0.0), (0.0, f64::INFINITY)] {
        assert_eq!(Position::new(latitude, longitude), Err(PositionError));
    }
    let centre = position(0.0, 0.0);
    for radius in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(Area::circle(centre, radius), Err(AreaError));
    }
    assert_eq!(Area::polygon(vec![centre, centre]), Err(AreaError));
    for text in ["", "2620", "2620111", "262 1", "26２01"] {
        assert_eq!(text.parse::<Plmn>(), Err(PlmnError), "{text}");
    }
}
