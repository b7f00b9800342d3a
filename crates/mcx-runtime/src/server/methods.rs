//! The methods that there are, from the descriptors.

use std::collections::HashMap;

use prost_types::FileDescriptorSet;

/// What a call of a method consists of, as far as deadlines are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MethodKind {
    /// One request, one response.
    Unary,
    /// One request, a stream of responses.
    ServerStreaming,
    /// A stream of requests, whatever the answer.
    ClientStreaming,
}

/// The methods of all services of a server, by the paths of their calls.
#[derive(Debug)]
pub(crate) struct MethodTable(HashMap<String, MethodKind>);

impl MethodTable {
    pub(crate) fn new(descriptors: &FileDescriptorSet) -> Self {
        let mut methods = HashMap::new();
        for file in &descriptors.file {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    let kind = match (method.client_streaming(), method.server_streaming()) {
                        (true, _) => MethodKind::ClientStreaming,
                        (false, true) => MethodKind::ServerStreaming,
                        (false, false) => MethodKind::Unary,
                    };
                    methods.insert(path, kind);
                }
            }
        }
        Self(methods)
    }

    /// The kind of a method; one that there is not counts as the strictest.
    pub(crate) fn kind_of(&self, path: &str) -> MethodKind {
        self.0.get(path).copied().unwrap_or(MethodKind::Unary)
    }

    /// The name of a method for labels, `package.Service/Method`; `unknown` for all that there are not, because the
    /// paths that callers think of are without number.
    pub(crate) fn name_of(&self, path: &str) -> &str {
        self.0.get_key_value(path).map_or("unknown", |(path, _)| &path[1..])
    }
}
