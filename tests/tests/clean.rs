//! What tests fetch, on a machine that has never run them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
};

fn program(dir: &Path, name: &str, text: &str) {
    let path = dir.join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A mirror that is slow: many ask at once, one fetches, and whoever gets an
/// answer finds the engine whole.
#[test]
fn f1_what_is_fetched_is_fetched_once_and_whole() {
    let dir = std::env::temp_dir().join(format!("senlin-settings-clean-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let count = dir.join("downloads");
    program(
        &dir,
        "apt-get",
        &format!(
            "case \"$*\" in
             *indextargets*) echo 'main http://127.0.0.1:1/debian' ;;
             *download*) echo one >>{}; touch docker.io.deb ;;
             esac",
            count.display()
        ),
    );
    program(
        &dir,
        "dpkg",
        "mkdir -p \"$3/usr/sbin\"; sleep 0.5; echo whole >\"$3/usr/sbin/dockerd\"; chmod +x \"$3/usr/sbin/dockerd\"",
    );
    let script = senlin_testkit::workspace().join("scripts/newer-engine.sh");
    let path = format!("{}:{}", dir.display(), std::env::var("PATH").unwrap());
    // One that an interrupted run has left behind.
    let engines = dir.join("engines");
    fs::create_dir_all(engines.join("trixie/usr/sbin")).unwrap();
    program(&engines.join("trixie/usr/sbin"), "dockerd", "exit 1");
    let all: Vec<_> = (0..4)
        .map(|_| {
            Command::new(&script)
                .env("PATH", &path)
                .env("SENLIN_ENGINES", &engines)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for one in all {
        let out = one.wait_with_output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let folder = String::from_utf8(out.stdout).unwrap();
        let engine = fs::read_to_string(Path::new(folder.trim()).join("usr/sbin/dockerd")).unwrap();
        assert_eq!(engine, "whole\n");
    }
    assert_eq!(fs::read_to_string(count).unwrap(), "one\n");
    let left: Vec<_> = fs::read_dir(&engines)
        .unwrap()
        .flatten()
        .map(|e| e.file_name())
        .collect();
    assert_eq!(left.len(), 2, "the engine and the lock: {left:?}");
    fs::remove_dir_all(dir).unwrap();
}
