//! `docs/conformance.md`: every requirement of the two texts, and the tests that show it, from `tests/conformance.toml`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde::Deserialize;

use super::{assert_current, cell};

const HEADER: &str = "# Conformance

<!-- Written from tests/conformance.toml: UPDATE_DOCS=1 cargo test -p crossband --test program documentation -->

What the two implemented texts of 3GPP TS 23.280 require, clause by clause and step by step, in our words, and the tests that show it.
A test fails when a test named here does not exist any more. What a text leaves open, or says of something that is outside of software
(radio bearers, radio signals), is said in the last column.
";

/// What a text has that must have a row.
struct Places {
    /// How its title begins.
    clause: &'static str,
    /// What it numbers, and how many there are.
    numbered: &'static [(&'static str, usize)],
    /// Its paragraphs that require something.
    paragraphs: &'static [&'static str],
}

const PLACES: [Places; 3] = [
    Places {
        clause: "TS 23.280 10.1.6.2: ",
        numbered: &[("pre-condition", 4), ("step", 11), ("NOTE", 3)],
        paragraphs: &[],
    },
    Places {
        clause: "TS 23.280 10.1.1.1: ",
        numbered: &[],
        paragraphs: &[
            "paragraph 2, bootstrap",
            "paragraph 3, online configuration",
            "paragraph 3, updates",
            "paragraph 3, active profile",
            "paragraph 3, change",
            "paragraph 4",
            "editor's note",
        ],
    },
    Places {
        clause: "TS 23.280 10.1.1.2: ",
        numbered: &[("NOTE", 2)],
        paragraphs: &[
            "paragraph 2, profiles",
            "paragraph 2, partners",
            "paragraph 2, security",
            "paragraph 3",
            "paragraph 4, user authentication",
            "paragraph 4, signalling plane",
            "paragraph 5",
            "paragraph 6, groups",
            "paragraph 6, authorization",
            "paragraph 7, updates",
            "paragraph 7, enforcement",
        ],
    },
];

/// What is required by one text.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    title: String,
    requirement: Vec<Requirement>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Requirement {
    /// Where the text says it, for example `step 4`.
    at: String,
    /// What it says, in our words.
    says: String,
    /// `<file>: <test>` of each test that shows it.
    #[serde(default)]
    tests: Vec<String>,
    /// What is to be known about it; required where no test shows it.
    #[serde(default)]
    remark: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Requirements {
    text: Vec<Text>,
}

#[test]
fn page_of_conformance_is_current_and_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let source = std::fs::read_to_string(root.join("tests/conformance.toml")).unwrap();
    let requirements: Requirements = toml::from_str(&source).unwrap();
    let mut text = HEADER.to_owned();
    let mut problems = missing_places(&requirements.text);
    for part in &requirements.text {
        let _ = write!(
            text,
            "\n## {}\n\n| at | requires | shown by | remark |\n| --- | --- | --- | --- |\n",
            part.title
        );
        for requirement in &part.requirement {
            if requirement.tests.is_empty() && requirement.remark.is_empty() {
                problems.push(format!("{}, {}: neither a test nor a remark", part.title, requirement.at));
            }
            let tests = group_by_file(&root, &requirement.tests, &mut problems);
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} |",
                cell(&requirement.at),
                cell(&requirement.says),
                tests,
                cell(&requirement.remark)
            );
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert_current("conformance.md", &text);
}

/// Which texts, and places of them, have no row.
fn missing_places(texts: &[Text]) -> Vec<String> {
    let mut missing = Vec::new();
    for Places { clause, numbered, paragraphs } in PLACES {
        let Some(text) = texts.iter().find(|text| text.title.starts_with(clause)) else {
            missing.push(format!("there is nothing of {clause}"));
            continue;
        };
        let all_of = |(kind, count): &(&str, usize)| -> Vec<String> {
            (1..=*count).map(|number| format!("{kind} {number}")).collect()
        };
        let paragraphs = paragraphs.iter().map(|paragraph| (*paragraph).to_owned());
        let places = numbered.iter().flat_map(all_of).chain(paragraphs);
        let has_no_row = |place: &String| text.requirement.iter().all(|row| row.at != *place);
        missing.extend(places.filter(has_no_row).map(|place| format!("{clause}{place} has no row")));
    }
    missing
}

/// The tests of a requirement as a cell: each file once, as a link, with its tests.
fn group_by_file(root: &Path, tests: &[String], problems: &mut Vec<String>) -> String {
    let mut files: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for test in tests {
        match test.split_once(": ") {
            Some((file, name)) if is_test(&root.join(file), name) => {
                files.entry(file).or_default().push(name)
            }
            _ => problems.push(format!("there is no test {test}")),
        }
    }
    let cells: Vec<String> = files
        .into_iter()
        .map(|(file, names)| {
            let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
            format!("{} ([{}](../{file}))", names.join(", "), short(file))
        })
        .collect();
    cells.join("; ")
}

/// Whether the file has a test function of this name: one with a test attribute, or one that a macro of the file is given to make
/// tests of.
fn is_test(file: &Path, name: &str) -> bool {
    let Ok(source) = std::fs::read_to_string(file) else { return false };
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let declares = |line: &str| {
        let rest = line.strip_prefix("async ").unwrap_or(line);
        rest.strip_prefix("fn ").is_some_and(|rest| rest.starts_with(&format!("{name}(")))
    };
    lines.iter().position(|line| declares(line)).is_some_and(|at| {
        let attributes = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
        let is_given_to_a_macro = || lines.iter().any(|line| line.strip_suffix(',') == Some(name));
        attributes.into_iter().any(|line| line.contains("test")) || is_given_to_a_macro()
    })
}

/// The last two parts of a path, which tell a reader enough.
fn short(file: &str) -> String {
    let parts: Vec<&str> = file.rsplit('/').take(2).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join("/")
}
