//! What operators manage: the resources and methods of the contract that the policy table opens to them.

use std::collections::{BTreeMap, HashSet};

use anyhow::{Context, Result};
use mcx_federation::policy::RULES;
use mcx_federation::{Caller, Listener};
use mcx_types::Entity;
use prost_reflect::{DescriptorPool, MethodDescriptor};

/// What can be done with a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Make one.
    Create,
    /// Make or replace one.
    Put,
    /// Read one.
    Get,
    /// Read all.
    List,
    /// Replace one.
    Update,
    /// Remove one.
    Delete,
    /// Make many.
    Import,
}

impl Verb {
    const ALL: [Self; 7] =
        [Self::Create, Self::Put, Self::Get, Self::List, Self::Update, Self::Delete, Self::Import];

    /// The word with which methods begin.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "Create",
            Self::Put => "Put",
            Self::Get => "Get",
            Self::List => "List",
            Self::Update => "Update",
            Self::Delete => "Delete",
            Self::Import => "Import",
        }
    }
}

/// A resource of the contract.
#[derive(Debug, Clone)]
pub struct Resource {
    /// Its name, such as `user-profile`.
    pub name: String,
    /// The entity that keeps it.
    pub entity: Entity,
    /// What operators may do with it.
    pub methods: BTreeMap<Verb, MethodDescriptor>,
}

/// Everything that operators may call.
#[derive(Debug, Clone)]
pub struct Catalogue {
    resources: Vec<Resource>,
    methods: Vec<(Entity, MethodDescriptor)>,
}

impl Catalogue {
    /// Reads the contract that is compiled in.
    ///
    /// # Errors
    /// Never, unless the descriptors of this program are damaged.
    pub fn load() -> Result<Self> {
        let pool = DescriptorPool::decode(mcx_proto::FILE_DESCRIPTOR_SET)?;
        let open: HashSet<&str> = RULES
            .iter()
            .filter(|rule| rule.listener == Listener::Internal)
            .filter(|rule| rule.callers.contains(&Caller::OwnOperator))
            .map(|rule| rule.method)
            .collect();
        let methods: Vec<(Entity, MethodDescriptor)> = pool
            .services()
            .flat_map(|service| service.methods().collect::<Vec<_>>())
            .filter(|method| open.contains(path_of(method).as_str()))
            .filter_map(|method| Some((entity_of(method.parent_service().package_name())?, method)))
            .collect();
        Ok(Self { resources: resources(&methods), methods })
    }

    /// Every resource, by name.
    pub fn resources(&self) -> &[Resource] {
        &self.resources
    }

    /// The resource of that name.
    ///
    /// # Errors
    /// Where there is none.
    pub fn resource(&self, name: &str) -> Result<&Resource> {
        self.resources
            .iter()
            .find(|resource| resource.name == name)
            .with_context(|| format!("no resource is called {name}; crossband admin resources lists them"))
    }

    /// The method `Service/Method`, with or without its package, and the entity that serves it.
    ///
    /// # Errors
    /// Where there is none that operators may call, or more than one.
    pub fn method(&self, name: &str) -> Result<(Entity, &MethodDescriptor)> {
        let is_meant = |method: &MethodDescriptor| {
            let path = path_of(method);
            path.strip_prefix('/') == Some(name)
                || format!("{}/{}", method.parent_service().name(), method.name()) == name
        };
        let found: Vec<&(Entity, MethodDescriptor)> =
            self.methods.iter().filter(|(_, method)| is_meant(method)).collect();
        match found.as_slice() {
            [(entity, method)] => Ok((*entity, method)),
            [] => anyhow::bail!("operators may call no method {name}"),
            _ => anyhow::bail!("{name} is in several packages; name the package too"),
        }
    }
}

/// The path of a method in HTTP/2.
pub(super) fn path_of(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

fn resources(methods: &[(Entity, MethodDescriptor)]) -> Vec<Resource> {
    let mut resources: BTreeMap<String, Resource> = BTreeMap::new();
    for (entity, method) in methods {
        let Some((verb, noun)) = split(method.name()) else { continue };
        // The same noun in two packages would be two resources of one name; none is.
        let resource = resources.entry(noun.clone()).or_insert_with(|| Resource {
            name: noun,
            entity: *entity,
            methods: BTreeMap::new(),
        });
        if resource.entity == *entity {
            resource.methods.entry(verb).or_insert_with(|| method.clone());
        }
    }
    resources.into_values().filter(is_managed).collect()
}

/// Something that can be read and changed; what can only be read, or only be made, is called by its rpc.
fn is_managed(resource: &Resource) -> bool {
    let has = |verb| resource.methods.contains_key(&verb);
    has(Verb::List) || (has(Verb::Get) && (has(Verb::Create) || has(Verb::Update) || has(Verb::Put)))
}

/// `ListUserProfiles` is the verb `List` and the noun `user-profile`.
fn split(method: &str) -> Option<(Verb, String)> {
    let verb = Verb::ALL.into_iter().find(|verb| method.starts_with(verb.as_str()))?;
    let noun = method.strip_prefix(verb.as_str())?;
    let noun = match verb {
        Verb::List | Verb::Import => singular(noun),
        _ => noun.to_owned(),
    };
    Some((verb, kebab(&noun)))
}

fn singular(plural: &str) -> String {
    if let Some(stem) = plural.strip_suffix("ies") {
        format!("{stem}y")
    } else if let Some(stem) = plural.strip_suffix("ses") {
        format!("{stem}s")
    } else {
        plural.strip_suffix('s').unwrap_or(plural).to_owned()
    }
}

fn kebab(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 4);
    for (index, character) in name.chars().enumerate() {
        if character.is_ascii_uppercase() && index > 0 {
            text.push('-');
        }
        text.push(character.to_ascii_lowercase());
    }
    text
}

/// The entity whose package it is.
fn entity_of(package: &str) -> Option<Entity> {
    Some(match package {
        "mcx.migration.v1" => Entity::MigrationManagement,
        "mcx.sipdatabase.v1" => Entity::SipDatabase,
        "mcx.sipcore.v1" => Entity::SipCore,
        "mcx.identity.v1" => Entity::IdentityManagement,
        "mcx.configuration.v1" => Entity::ConfigurationManagement,
        "mcx.group.v1" => Entity::GroupManagement,
        "mcx.functionalalias.v1" => Entity::FunctionalAliasManagement,
        "mcx.mcservice.v1" => Entity::McService,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_for_operators_is_of_an_entity() {
        let catalogue = Catalogue::load().unwrap();
        let open = RULES.iter().filter(|rule| {
            rule.listener == Listener::Internal && rule.callers.contains(&Caller::OwnOperator)
        });
        for rule in open {
            let name = rule.method.trim_start_matches('/');
            assert!(catalogue.method(name).is_ok(), "{name} cannot be called by crossband admin");
        }
    }

    #[test]
    fn verbs_of_a_resource_are_those_of_its_methods() {
        let catalogue = Catalogue::load().unwrap();
        let verbs =
            |name: &str| -> Vec<Verb> { catalogue.resource(name).unwrap().methods.keys().copied().collect() };
        assert_eq!(
            verbs("user-profile"),
            [Verb::Create, Verb::Get, Verb::List, Verb::Update, Verb::Delete, Verb::Import]
        );
        assert_eq!(verbs("partner-trust"), [Verb::Put, Verb::Get, Verb::List, Verb::Delete]);
        assert_eq!(verbs("visitor-policy"), [Verb::Get, Verb::List, Verb::Update]);
        assert!(catalogue.resource("functional-alias").is_ok());
    }
}
