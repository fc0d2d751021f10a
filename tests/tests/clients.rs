//! Other people's clients against ours, with a real Keystone between them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it counted"
)]

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use senlin_tests::{
    keystone::{Keystone, PASSWORD, venv},
    programs::Plane,
};
use serde_json::json;

/// Runs a script as a user of project `demo` would; returns what it printed.
fn script(keystone: &Keystone, name: &str) -> String {
    let file = senlin_testkit::workspace().join("tests/clients").join(name);
    let out = Command::new(venv("clients").join("bin/python"))
        .arg(file)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", keystone.dir())
        .env("OS_AUTH_URL", keystone.url())
        .env("OS_USERNAME", "member")
        .env("OS_PASSWORD", PASSWORD)
        .env("OS_PROJECT_NAME", "demo")
        .env("OS_USER_DOMAIN_NAME", "Default")
        .env("OS_PROJECT_DOMAIN_NAME", "Default")
        .env("OS_IDENTITY_API_VERSION", "3")
        .env("OS_REGION_NAME", "RegionOne")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    assert!(out.status.success(), "{name}: {text}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn real_clients_work_unchanged() {
    let made = Command::new(senlin_testkit::workspace().join("scripts/python.sh"))
        .arg("clients")
        .status()
        .unwrap();
    assert!(made.success());
    let keystone = Keystone::start(3600).await.unwrap();
    let plane = Plane::with_api(1, "[rules]\nallow_simulated = true\n", &keystone.settings(""))
        .await
        .unwrap();
    keystone.catalog(plane.client.base()).await.unwrap();
    let token = keystone.scoped("member", "demo").await.unwrap();
    let member = plane.client.with(&token);
    let properties = json!({"endpoints": [{"url": "sim://clients-a"}, {"url": "sim://clients-b"}]});
    let profile = member
        .profile("hosts", "host.dockerinc.engine", "1.0", properties)
        .await
        .unwrap();
    let hosts = member.cluster("hosts", &profile, 2).await.unwrap();
    member.active(&hosts, 2, Duration::from_secs(30)).await.unwrap();
    for name in ["sdk.py", "cli.py"] {
        println!("{}", script(&keystone, name).trim());
    }
    let logs = plane.logs();
    assert!(
        !logs.contains(&token) && !logs.contains(PASSWORD),
        "no secret is in a log"
    );
}

/// Clients that two generators make of the document, in this run.
#[tokio::test(flavor = "multi_thread")]
async fn generated_clients_work() {
    let root = senlin_testkit::workspace();
    let made = Command::new(root.join("scripts/python.sh"))
        .arg("tools")
        .status()
        .unwrap();
    assert!(made.success());
    let plane = Plane::start(1, "[rules]\nallow_simulated = true\n").await.unwrap();
    plane
        .hosts(&["sim://generated-a".to_owned(), "sim://generated-b".to_owned()])
        .await
        .unwrap();
    let work = std::env::temp_dir().join(format!("senlin-generated-{}", uuid::Uuid::new_v4().simple()));
    std::fs::create_dir_all(&work).unwrap();
    let (bin, document) = (venv("tools").join("bin"), root.join("openapi/senlin-v1.json"));
    let run = |program: &str, args: &[&str]| {
        let out = Command::new(bin.join(program))
            .args(args)
            .current_dir(&work)
            .env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap()))
            .env("PYTHONPATH", format!("{0}/httpx:{0}/urllib", work.display()))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        );
        assert!(out.status.success(), "{program} {args:?}: {text}");
        text
    };
    let document = document.to_str().unwrap();
    run(
        "openapi-python-client",
        &[
            "generate",
            "--path",
            document,
            "--output-path",
            "httpx",
            "--meta",
            "none",
        ],
    );
    // With no metadata the folder itself is the package.
    std::fs::rename(work.join("httpx"), work.join("package")).unwrap();
    std::fs::create_dir(work.join("httpx")).unwrap();
    std::fs::rename(work.join("package"), work.join("httpx/senlin_clustering_client")).unwrap();
    run(
        "openapi-generator-cli",
        &[
            "generate",
            "-i",
            document,
            "-g",
            "python",
            "-o",
            "urllib",
            "--package-name",
            "senlin_client",
        ],
    );
    for script in ["generated_httpx.py", "generated_urllib.py"] {
        let file = root.join("tests/clients").join(script);
        let said = run(
            "python",
            &[
                file.to_str().unwrap(),
                plane.client.base(),
                senlin_tests::programs::TOKEN,
            ],
        );
        println!("{}", said.trim());
    }
    std::fs::remove_dir_all(&work).unwrap();
}
