//! Pages of `docs/` that are written from the code. Each test fails when its page is not current, and with `UPDATE_DOCS=1` in the
//! environment it writes the page instead.

mod configuration;
mod conformance;
mod errors;

use std::path::Path;

fn assert_current(page: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(page);
    #[expect(clippy::disallowed_methods, reason = "asks the test to write; no configuration of the program")]
    let wanted = std::env::var_os("UPDATE_DOCS").is_some();
    if wanted {
        std::fs::write(&path, text).unwrap();
    }
    let present = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        present == text,
        "docs/{page} is not current: UPDATE_DOCS=1 cargo test -p crossband --test program documentation"
    );
}

/// One line of text for a cell of a table.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}
