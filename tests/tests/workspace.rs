//! Rules of the workspace that are not prose: layers, licences, banned crates,
//! the size of files.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it counted"
)]

use std::{collections::BTreeMap, path::Path, process::Command};

use senlin_testkit::workspace;
use serde_json::Value;

/// What each crate of ours may use of ours.
const LAYERS: &[(&str, &[&str])] = &[
    ("senlin-core", &[]),
    ("senlin-openapi", &["core"]),
    ("senlin-db", &["core"]),
    ("senlin-bus", &["core"]),
    ("senlin-profiles", &["core"]),
    ("senlin-policies", &["core"]),
    ("senlin-drivers", &["core"]),
    ("senlin-runtime", &["core"]),
    ("senlin-testkit", &["core", "db"]),
    (
        "senlin-api",
        &["core", "openapi", "db", "bus", "profiles", "policies", "runtime"],
    ),
    (
        "senlin-engine",
        &["core", "db", "bus", "profiles", "policies", "drivers", "runtime"],
    ),
    (
        "senlin",
        &["core", "db", "bus", "profiles", "drivers", "runtime", "api", "engine"],
    ),
    ("senlin-tests", &["core", "db", "drivers", "policies", "testkit"]),
];

/// What a crate must never use of others.
const NEVER: &[(&str, &[&str])] = &[
    ("senlin-core", &["tokio", "diesel", "lapin", "actix-web", "bollard"]),
    (
        "senlin-policies",
        &["tokio", "async-trait", "diesel", "lapin", "bollard"],
    ),
    ("senlin-profiles", &["tokio", "diesel", "lapin", "bollard", "actix-web"]),
    ("senlin-drivers", &["diesel", "lapin", "actix-web"]),
    ("senlin-db", &["lapin", "actix-web", "bollard"]),
    ("senlin-bus", &["diesel", "actix-web", "bollard"]),
    ("senlin-api", &["bollard", "lapin", "diesel"]),
    (
        "senlin-engine",
        &["actix-web", "bollard", "lapin", "diesel", "senlin-openapi"],
    ),
];

const BANNED: &[&str] = &[
    "openssl",
    "openssl-sys",
    "native-tls",
    "async-std",
    "aws-lc-rs",
    "aws-lc-sys",
    "chef",
    "failure",
];

const LICENCES: &[&str] = &[
    "Apache-2.0",
    "MIT",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Unicode-3.0",
    "Zlib",
    "CDLA-Permissive-2.0",
    "0BSD",
    "Unlicense",
    "CC0-1.0",
    "MIT-0",
    "BSL-1.0",
    "MPL-2.0",
    "Unicode-DFS-2016",
];

fn metadata() -> Value {
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(workspace())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

#[test]
fn dependencies_point_downwards() {
    let metadata = metadata();
    let packages: BTreeMap<&str, &Value> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|p| (text(p, "name"), p))
        .collect();
    let mut wrong = Vec::new();
    for (name, allowed) in LAYERS {
        let never = NEVER.iter().find(|(n, _)| n == name).map_or(&[][..], |(_, list)| *list);
        for dependency in packages[name]["dependencies"].as_array().unwrap() {
            if !dependency["kind"].is_null() {
                continue;
            }
            let to = text(dependency, "name");
            let ours = to == "senlin" || to.starts_with("senlin-");
            let fine = !ours || allowed.iter().any(|a| to == format!("senlin-{a}"));
            if !fine || never.contains(&to) {
                wrong.push(format!("{name} -> {to}"));
            }
        }
    }
    assert!(wrong.is_empty(), "these edges break the layers: {wrong:?}");
    let members = metadata["workspace_members"].as_array().unwrap().len();
    assert_eq!(members, LAYERS.len(), "every crate has its line in LAYERS");
}

#[test]
fn licences_and_bans() {
    let metadata = metadata();
    let mut wrong = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let (name, licence) = (text(package, "name"), text(package, "license"));
        if BANNED.contains(&name) {
            wrong.push(format!("{name} is banned"));
        }
        // "A OR B", "A AND (B OR C)", "A/B": one that is allowed in each AND part.
        let plain = licence
            .replace(['(', ')'], "")
            .replace('/', " OR ")
            .replace(" WITH LLVM-exception", "");
        let fine = plain
            .split(" AND ")
            .all(|part| part.split(" OR ").any(|l| LICENCES.contains(&l.trim())));
        if !fine && !name.starts_with("senlin") {
            wrong.push(format!("{name}: licence '{licence}'"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

fn sources(dir: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && name != "target" && name != ".git" {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Time is an argument of a decision, or it could not be told again.
#[test]
fn decisions_never_read_the_clock() {
    let mut found = Vec::new();
    sources(&workspace().join("policies/src"), &mut found);
    assert!(found.len() > 10);
    for path in found {
        let text = std::fs::read_to_string(&path).unwrap();
        for clock in ["Utc::now", "Local::now", "Instant::now", "SystemTime::now"] {
            assert!(!text.contains(clock), "{} reads the clock: {clock}", path.display());
        }
    }
}

/// What engines do unasked has one runner (`tasks/runner.rs`). Only leases have
/// timers of their own: they are kept until the last action is handed back.
#[test]
fn engines_have_one_runner() {
    let mut found = Vec::new();
    sources(&workspace().join("senlin-engine/src"), &mut found);
    let timers = found.iter().filter(|path| {
        let text = std::fs::read_to_string(path).unwrap();
        text.contains("time::interval(")
    });
    let names: Vec<_> = timers.filter_map(|p| p.file_name()).collect();
    assert_eq!(names, ["lease.rs"]);
}

/// A gate names what a version brought (`openapi/src/versions.rs`): one that
/// compares with the newest takes what is there from clients when that grows.
#[test]
fn no_gate_is_the_newest_version() {
    let mut found = Vec::new();
    sources(&workspace().join("senlin-api/src"), &mut found);
    sources(&workspace().join("openapi/src"), &mut found);
    assert!(found.len() > 30);
    for path in found.iter().filter(|p| !p.ends_with("versions.rs")) {
        let text = std::fs::read_to_string(path).unwrap();
        for gate in [
            "version >= MAX",
            "version < MAX",
            "::MAX {",
            ">= Microversion(1",
            "< Microversion(1, ",
        ] {
            assert!(
                !text.contains(gate) || path.ends_with("request.rs"),
                "{}: {gate}",
                path.display()
            );
        }
    }
}

#[test]
fn files_are_short_and_finished() {
    let mut found = Vec::new();
    sources(&workspace(), &mut found);
    assert!(found.len() > 50);
    let mut wrong = Vec::new();
    for path in found {
        let text = std::fs::read_to_string(&path).unwrap();
        let lines = text.lines().count();
        // It is written by a test, a line for each column.
        let generated = path.ends_with("db/src/schema.rs");
        if lines > 450 && !generated {
            wrong.push(format!("{} has {lines} lines", path.display()));
        }
        for word in [
            concat!("to", "do!("),
            concat!("unimple", "mented!("),
            concat!("#[ig", "nore"),
        ] {
            if text.contains(word) {
                wrong.push(format!("{} has {word}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
