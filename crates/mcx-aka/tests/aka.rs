//! The crate seen from outside: published vectors, rules and properties.

#[path = "aka/test_sets.rs"]
mod test_sets;

#[path = "aka/digest.rs"]
mod digest;
#[path = "aka/isim.rs"]
mod isim;
#[path = "aka/milenage.rs"]
mod milenage;
#[path = "aka/network.rs"]
mod network;
#[path = "aka/parameter.rs"]
mod parameter;
#[path = "aka/properties.rs"]
mod properties;
#[path = "aka/secrecy.rs"]
mod secrecy;
