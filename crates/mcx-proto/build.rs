//! Compiles the protos without protoc, and writes their descriptors for reflection.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use prost::Message;

/// Messages whose contents must never be printed: `secrets.rs` gives them a `Debug` that says nothing.
const HOLDS_SECRETS: &[&str] = &[
    ".mcx.types.v1.AuthenticationVector",
    ".mcx.sipdatabase.v1.SubscriberKeys",
    ".mcx.identity.v1.Password",
    ".mcx.identity.v1.ClientSecret",
    ".mcx.identity.v1.Token",
    ".mcx.configuration.v1.CreateUeEnrolmentResponse",
    ".mcx.configuration.v1.BootstrapServiceGetInitialUeConfigurationRequest",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Asked when it runs: a build folder that was copied holds a build script with the path of another tree.
    let root = PathBuf::from(set_by_cargo("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());

    let mut files = Vec::new();
    collect_protos(&root, &mut files)?;
    files.sort();

    let mut compiler = protox::Compiler::new([&root])?;
    compiler.include_source_info(true).include_imports(true).open_files(&files)?;
    let descriptors = compiler.file_descriptor_set();

    let out = PathBuf::from(set_by_cargo("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().skip_debug(HOLDS_SECRETS).compile_fds(descriptors)?;
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "how cargo tells a build script where to read and write")]
fn set_by_cargo(variable: &str) -> Result<OsString, String> {
    std::env::var_os(variable).ok_or_else(|| format!("{variable} is not set"))
}

fn collect_protos(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect_protos(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    Ok(())
}
