//! Writing certificates and keys so that a reader never sees half of one, nor a stranger a key.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Readable by everybody: certificates.
pub(crate) const PUBLIC: u32 = 0o644;
/// Readable by the owner only: keys.
pub(crate) const PRIVATE: u32 = 0o600;

/// Writes `content` with `mode`, in one step: the file is there as a whole or as it was before.
pub(crate) fn replace(path: &Path, content: &str, mode: u32) -> io::Result<()> {
    let mut name = path.file_name().map(ToOwned::to_owned).unwrap_or_default();
    name.push(".new");
    let fresh = path.with_file_name(name);
    // A leftover of a crash might have another mode.
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
    file.write_all(content.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, path)
}
