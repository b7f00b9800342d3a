//! The file with the key-encryption keys.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use zeroize::Zeroizing;

use super::key_ring::{KeyRing, KeyRingError, new_key_file, with_added_key, without_key};

/// More than any number of keys needs.
const SIZE_LIMIT: u64 = 1 << 20;

/// Why the key file cannot be used. Never repeats a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It cannot be read or written.
    #[error("cannot access key file {}: {source}", path.display())]
    Inaccessible {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Others than its owner and group may use it.
    #[error("key file {} is accessible to everybody (mode {mode:04o}); set it to 0600 or 0640", path.display())]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It is larger than a key file can be, or no plain file.
    #[error("key file {} is not a plain file of at most {SIZE_LIMIT} bytes", path.display())]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// What is in it is no key ring.
    #[error("key file {} {source}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: KeyRingError,
    },
    /// A key that is to be removed is not in it.
    #[error("key file {} has no key {key_id}", path.display())]
    KeyUnknown {
        /// The file.
        path: PathBuf,
        /// The identifier.
        key_id: String,
    },
    /// The key that is to be removed is the one that seals.
    #[error("key {key_id} is the active one of key file {}: make another one active first", path.display())]
    KeyActive {
        /// The file.
        path: PathBuf,
        /// The identifier.
        key_id: String,
    },
    /// The line of the key cannot be told from the others.
    #[error("key file {} is written so that key {key_id} has to be removed by hand", path.display())]
    KeyNotFoundInText {
        /// The file.
        path: PathBuf,
        /// The identifier.
        key_id: String,
    },
}

/// The key file, and the key ring last read from it. Clones share it.
#[derive(Debug, Clone)]
pub struct KeyFile {
    path: Arc<Path>,
    ring: Arc<ArcSwap<KeyRing>>,
}

impl KeyFile {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// [`KeyFileError`]
    pub fn open(path: &Path) -> Result<Self, KeyFileError> {
        let ring = read(path)?;
        Ok(Self { path: path.into(), ring: Arc::new(ArcSwap::from_pointee(ring)) })
    }

    /// The key ring last read.
    pub fn ring(&self) -> Arc<KeyRing> {
        self.ring.load_full()
    }

    /// Reads the file again; where that fails, the key ring last read stays in use.
    ///
    /// # Errors
    /// [`KeyFileError`]
    pub async fn reload(&self) -> Result<Arc<KeyRing>, KeyFileError> {
        let path = Arc::clone(&self.path);
        let reading = tokio::task::spawn_blocking(move || read(&path));
        let ring = reading.await.map_err(|error| KeyFileError::Inaccessible {
            path: self.path.to_path_buf(),
            source: std::io::Error::other(error),
        })??;
        let ring = Arc::new(ring);
        let former = self.ring.swap(Arc::clone(&ring));
        if former.active_key_id() != ring.active_key_id() {
            tracing::info!(
                former_key_id = former.active_key_id(),
                active_key_id = ring.active_key_id(),
                "key file changed"
            );
        }
        Ok(ring)
    }
}

fn read(path: &Path) -> Result<KeyRing, KeyFileError> {
    let inaccessible = |source| KeyFileError::Inaccessible { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(inaccessible)?;
    // Of the opened file, not of the path, which may be exchanged meanwhile.
    let metadata = file.metadata().map_err(inaccessible)?;
    if !metadata.is_file() || metadata.len() > SIZE_LIMIT {
        return Err(KeyFileError::NotAFile { path: path.to_owned() });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o007 != 0 {
        return Err(KeyFileError::TooOpen { path: path.to_owned(), mode });
    }
    let mut text = Zeroizing::new(String::new());
    file.read_to_string(&mut text).map_err(inaccessible)?;
    KeyRing::parse(&text).map_err(|source| KeyFileError::Unusable { path: path.to_owned(), source })
}

/// Makes a key file with `key`, which is random, readable by its owner only; for a first start.
///
/// # Errors
/// [`KeyFileError::Inaccessible`], also where there is such a file already: it is never overwritten.
pub fn create_key_file(path: &Path, key_id: &str, key: [u8; 32]) -> Result<(), KeyFileError> {
    let inaccessible = |source| KeyFileError::Inaccessible { path: path.to_owned(), source };
    let text = new_key_file(key_id, &Zeroizing::new(key));
    KeyRing::parse(&text).map_err(|source| KeyFileError::Unusable { path: path.to_owned(), source })?;
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(inaccessible)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(inaccessible)
}

/// Adds `key`, which is random, to a key file and makes it the active one; the old keys stay for what is stored under them. A service that reads
/// the file sees it as it was or as it will be, never a part.
///
/// # Errors
/// [`KeyFileError`]: the file cannot be used or written, or holds a key with that identifier already.
pub fn add_key(path: &Path, key_id: &str, key: [u8; 32]) -> Result<(), KeyFileError> {
    let key = Zeroizing::new(key);
    // Refuses a file that others may read before anything is added to it.
    read(path)?;
    replace(path, &with_added_key(&read_text(path)?, key_id, &key))
}

/// Whether `key_id` may be removed from a key file, as far as the file itself says.
///
/// # Errors
/// [`KeyFileError`]: the file cannot be used, the key is not in it, or is its active one.
pub fn check_removable(path: &Path, key_id: &str) -> Result<(), KeyFileError> {
    let ring = read(path)?;
    let (path, key_id) = (path.to_owned(), key_id.to_owned());
    if !ring.has(&key_id) {
        return Err(KeyFileError::KeyUnknown { path, key_id });
    }
    if ring.active_key_id() == key_id {
        return Err(KeyFileError::KeyActive { path, key_id });
    }
    Ok(())
}

/// Removes a key from a key file. What is sealed under it is lost: whoever calls this has made sure that nothing is.
///
/// # Errors
/// [`KeyFileError`]: as of [`check_removable`], or the file cannot be written.
pub fn remove_key(path: &Path, key_id: &str) -> Result<(), KeyFileError> {
    check_removable(path, key_id)?;
    let text = without_key(&read_text(path)?, key_id);
    let text = text.filter(|text| KeyRing::parse(text).is_ok_and(|ring| !ring.has(key_id)));
    let text = text.ok_or_else(|| KeyFileError::KeyNotFoundInText {
        path: path.to_owned(),
        key_id: key_id.to_owned(),
    })?;
    replace(path, &text)
}

fn read_text(path: &Path) -> Result<Zeroizing<String>, KeyFileError> {
    let text = std::fs::read_to_string(path);
    text.map(Zeroizing::new).map_err(|source| KeyFileError::Inaccessible { path: path.to_owned(), source })
}

/// Exchanges the whole file at once.
fn replace(path: &Path, text: &str) -> Result<(), KeyFileError> {
    let inaccessible = |source| KeyFileError::Inaccessible { path: path.to_owned(), source };
    KeyRing::parse(text).map_err(|source| KeyFileError::Unusable { path: path.to_owned(), source })?;
    let temporary = path.with_extension("new");
    let mode = std::fs::metadata(path).map_err(inaccessible)?.mode() & 0o777;
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.and_then(|()| std::fs::rename(&temporary, path)).map_err(inaccessible)
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn key_file() -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.toml");
        create_key_file(&path, "2026-01", [9; 32]).unwrap();
        (directory, path)
    }

    #[test]
    fn key_file_that_everybody_may_read_is_refused() {
        let (_directory, path) = key_file();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let error = KeyFile::open(&path).unwrap_err();
        assert!(matches!(error, KeyFileError::TooOpen { mode: 0o644, .. }), "{error}");
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        assert_eq!(KeyFile::open(&path).unwrap().ring().active_key_id(), "2026-01");
    }

    #[test]
    fn missing_and_unusable_key_files_are_told_apart() {
        let (directory, path) = key_file();
        let missing = KeyFile::open(&directory.path().join("none.toml")).unwrap_err();
        assert!(matches!(missing, KeyFileError::Inaccessible { .. }), "{missing}");
        let no_file = KeyFile::open(directory.path()).unwrap_err();
        assert!(matches!(no_file, KeyFileError::NotAFile { .. }), "{no_file}");
        std::fs::write(&path, "active = 1").unwrap();
        let unusable = KeyFile::open(&path).unwrap_err();
        assert!(matches!(unusable, KeyFileError::Unusable { .. }), "{unusable}");
    }

    #[test]
    fn key_file_is_never_overwritten() {
        let (_directory, path) = key_file();
        let before = std::fs::read(&path).unwrap();
        assert!(create_key_file(&path, "2026-02", [9; 32]).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[test]
    fn added_key_is_active_and_the_old_one_stays() {
        let (_directory, path) = key_file();
        let before = KeyFile::open(&path).unwrap();
        add_key(&path, "2026-02", [9; 32]).unwrap();
        let after = KeyFile::open(&path).unwrap();
        assert_eq!(after.ring().active_key_id(), "2026-02");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("\"2026-01\" = "), "the old key is gone");
        assert_eq!(before.ring().active_key_id(), "2026-01");

        assert!(add_key(&path, "2026-02", [9; 32]).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn removed_key_is_gone_and_the_active_one_cannot_be_removed() {
        let (_directory, path) = key_file();
        add_key(&path, "2026-02", [8; 32]).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let active = remove_key(&path, "2026-02").unwrap_err();
        assert!(matches!(active, KeyFileError::KeyActive { .. }), "{active}");
        let unknown = remove_key(&path, "2026").unwrap_err();
        assert!(matches!(unknown, KeyFileError::KeyUnknown { .. }), "{unknown}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);

        remove_key(&path, "2026-01").unwrap();
        let ring = KeyFile::open(&path).unwrap().ring();
        assert_eq!((ring.active_key_id(), ring.has("2026-01")), ("2026-02", false));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn key_file_written_in_another_way_is_left_to_its_author() {
        let (_directory, path) = key_file();
        add_key(&path, "2026-02", [8; 32]).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let one_line: Vec<&str> = text.lines().filter(|line| line.starts_with("\"2026")).collect();
        let inline = format!("active = \"2026-02\"\nkeys = {{ {} }}\n", one_line.join(", "));
        std::fs::write(&path, &inline).unwrap();
        let error = remove_key(&path, "2026-01").unwrap_err();
        assert!(matches!(error, KeyFileError::KeyNotFoundInText { .. }), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), inline);
    }

    #[tokio::test]
    async fn failed_reload_keeps_the_key_ring_in_use() {
        let (_directory, path) = key_file();
        let file = KeyFile::open(&path).unwrap();
        std::fs::write(&path, "active = 1").unwrap();
        assert!(file.reload().await.is_err());
        assert_eq!(file.ring().active_key_id(), "2026-01");
    }
}
