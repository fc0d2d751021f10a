//! `make fuzz`: Schemathesis over the whole document, authenticated: no 5xx,
//! and no answer outside the document. Prints how many cases ran.

#![allow(clippy::print_stdout, reason = "this is the command's output")]

use std::{
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, ensure};
use senlin_tests::{
    keystone::venv,
    programs::{Plane, TOKEN},
};

/// Cases that must have run.
const GOAL: u64 = 20_000;
/// Examples for each operation and phase; there are 57 operations.
const EACH: &str = "450";
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,\
                      response_headers_conformance";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let python = senlin_testkit::workspace().join("scripts/python.sh");
    ensure!(Command::new(python).arg("tools").status()?.success());
    let plane = Plane::with_api(1, "[rules]\nallow_simulated = true\n", "max_page_size = 20\n").await?;
    plane
        .hosts(&["sim://fuzz-a".to_owned(), "sim://fuzz-b".to_owned()])
        .await?;
    let begun = Instant::now();
    let each = std::env::args().nth(1).unwrap_or_else(|| EACH.to_owned());
    let out = Command::new(venv("tools").join("bin/schemathesis"))
        .args(["run", &format!("{}/v1/openapi.json", plane.client.base())])
        .args([
            "--checks",
            CHECKS,
            "-n",
            &each,
            "--phases",
            "examples,coverage,fuzzing",
            "--workers",
            "2",
        ])
        .args([
            "-H",
            &format!("X-Auth-Token: {TOKEN}"),
            "--seed",
            "20261121",
            "--suppress-health-check",
            "all",
        ])
        .args(["--no-color", "--warnings", "off", "--generation-database", "none"])
        .stdin(Stdio::null())
        .output()
        .context("run schemathesis")?;
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    // "Test cases: 12345 generated, 12345 passed"
    let cases: u64 = text
        .lines()
        .filter_map(|l| {
            l.split_once(" generated")?
                .0
                .rsplit(' ')
                .next()?
                .replace(',', "")
                .parse::<u64>()
                .ok()
        })
        .sum();
    ensure!(out.status.success(), "{text}");
    println!(
        "schemathesis: {cases} cases in {:.0} s, none failed",
        begun.elapsed().as_secs_f64()
    );
    ensure!(
        EACH != each || cases >= GOAL,
        "{cases} cases ran; at least {GOAL} must\n{text}"
    );
    let logs = plane.logs();
    ensure!(!logs.contains(TOKEN), "the token is in a log");
    Ok(())
}
