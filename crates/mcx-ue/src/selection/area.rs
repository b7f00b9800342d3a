//! Areas on the ground, WGS 84.

use std::str::FromStr;

use geographiclib_rs::{Geodesic, InverseGeodesic};

/// Nearer than this two positions are the same one, in metres: far below what any receiver tells apart.
const SAME_PLACE_METRES: f64 = 0.01;

/// A corner farther away than this, in metres, cannot be told from one on the other side of the earth: a quarter of a meridian.
const HORIZON_METRES: f64 = 10_000_000.0;

/// A position, WGS 84.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Position {
    latitude: f64,
    longitude: f64,
}

/// Numbers, or a text, are no position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be latitude and longitude: -90 to 90 and -180 to 180 degrees")]
pub struct PositionError;

impl Position {
    /// A position by its degrees north and east.
    ///
    /// # Errors
    /// [`PositionError`] where they are out of range or no numbers.
    pub fn new(latitude: f64, longitude: f64) -> Result<Self, PositionError> {
        let is_position = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
        if is_position { Ok(Self { latitude, longitude }) } else { Err(PositionError) }
    }

    /// The distance in metres, and the direction at the start in degrees clockwise from north.
    fn towards(self, other: Self) -> (f64, f64) {
        let (distance, azimuth, _, _): (f64, f64, f64, f64) =
            Geodesic::wgs84().inverse(self.latitude, self.longitude, other.latitude, other.longitude);
        (distance, azimuth)
    }
}

impl FromStr for Position {
    type Err = PositionError;

    /// Degrees north and degrees east, with a comma between them, such as `48.2,16.37`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (latitude, longitude) = text.split_once(',').ok_or(PositionError)?;
        let degrees = |text: &str| text.trim().parse().map_err(|_| PositionError);
        Self::new(degrees(latitude)?, degrees(longitude)?)
    }
}

/// An area.
#[derive(Debug, Clone, PartialEq)]
pub struct Area(Shape);

#[derive(Debug, Clone, PartialEq)]
enum Shape {
    Circle { centre: Position, radius_metres: f64 },
    Polygon(Vec<Position>),
}

/// A shape encloses nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a circle needs a radius above 0 metres, a polygon at least 3 corners")]
pub struct AreaError;

impl Area {
    /// Everything not farther from `centre` than `radius_metres`.
    ///
    /// # Errors
    /// [`AreaError`] unless the radius is a number above 0.
    pub fn circle(centre: Position, radius_metres: f64) -> Result<Self, AreaError> {
        let encloses = radius_metres.is_finite() && radius_metres > 0.0;
        if encloses { Ok(Self(Shape::Circle { centre, radius_metres })) } else { Err(AreaError) }
    }

    /// Everything inside of the line through `corners`, the last one joined to the first by the shortest way on the ground. It may
    /// lie across the 180th meridian or around a pole. Where the line crosses itself, what it goes around twice the same way is inside.
    ///
    /// # Errors
    /// [`AreaError`] where there are less than 3 corners.
    pub fn polygon(corners: Vec<Position>) -> Result<Self, AreaError> {
        if corners.len() < 3 { Err(AreaError) } else { Ok(Self(Shape::Polygon(corners))) }
    }

    /// Whether a position is in the area; its edge counts.
    #[must_use]
    pub fn contains(&self, position: Position) -> bool {
        match &self.0 {
            Shape::Circle { centre, radius_metres } => centre.towards(position).0 <= *radius_metres,
            Shape::Polygon(corners) => winds_around(corners, position),
        }
    }
}

/// Whether the line winds around the position: how far one there turns who follows it with the eyes, once round.
fn winds_around(corners: &[Position], position: Position) -> bool {
    let seen: Vec<(f64, f64)> = corners.iter().map(|corner| position.towards(*corner)).collect();
    if seen.iter().any(|(distance, _)| *distance <= SAME_PLACE_METRES) {
        return true;
    }
    if seen.iter().any(|(distance, _)| *distance > HORIZON_METRES) {
        return false;
    }
    let following = seen.iter().cycle().skip(1);
    let turned: f64 = seen.iter().zip(following).map(|((_, from), (_, to))| turn(*from, *to)).sum();
    // A whole number of full turns but for rounding; half of one is on the edge.
    turned.abs() > 179.0
}

/// The shorter way from one direction to another, in degrees: from -180 to 180.
fn turn(from: f64, to: f64) -> f64 {
    let turned = (to - from).rem_euclid(360.0);
    if turned > 180.0 { turned - 360.0 } else { turned }
}
