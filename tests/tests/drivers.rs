//! One suite of what a driver does, on a simulated host and on a real dockerd.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and shows what it saw"
)]

use std::{collections::BTreeMap, sync::Arc};

use senlin_core::{
    driver::{
        ContainerConfig, ContainerDriver, DriverError, HostConnector, LABEL_NODE, PortBinding, RegistryAuth, Resources,
        RestartPolicy,
    },
    host::Endpoint,
    secret::Secret,
};
use senlin_drivers::{Connector, Settings};
use senlin_tests::hosts::{Engine, Hosts};

fn endpoint(url: &str) -> Endpoint {
    Endpoint {
        url: url.to_owned(),
        tls: None,
        allow_insecure: false,
        ssh_key: None,
    }
}

async fn connect(url: &str) -> Arc<dyn ContainerDriver> {
    Connector::new(Settings { allow_simulated: true })
        .connect(&endpoint(url))
        .await
        .unwrap()
}

fn config(name: &str) -> ContainerConfig {
    ContainerConfig {
        name: name.to_owned(),
        image: "senlin/busybox:latest".to_owned(),
        command: Some(vec!["sleep".to_owned(), "1000".to_owned()]),
        env: vec![("SECRET".to_owned(), Secret::new("swordfish"))],
        labels: BTreeMap::from([
            (LABEL_NODE.to_owned(), name.to_owned()),
            ("suite".to_owned(), "1".to_owned()),
        ]),
        init: Some(true),
        resources: Resources {
            memory: Some(64 << 20),
            ..Resources::default()
        },
        ..ContainerConfig::default()
    }
}

/// A container that dies is told of, and one that runs has used something.
async fn measures(driver: &dyn ContainerDriver) {
    let id = driver.create(&config("meter")).await.unwrap();
    let told = std::sync::Mutex::new(Vec::new());
    let tell = |event: senlin_core::driver::ContainerEvent| {
        told.lock().unwrap().push((event.id, event.action));
    };
    let label = (LABEL_NODE, "meter");
    let acts = async {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        driver.start(&id).await.unwrap();
        let used = driver.usage().await.unwrap();
        let own = used.iter().find(|u| u.id == id).expect("it is measured");
        assert_eq!(own.labels[LABEL_NODE], "meter");
        driver.kill(&id, None).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(700)).await;
        assert!(
            driver.usage().await.unwrap().iter().all(|u| u.id != id),
            "what has ended uses nothing"
        );
    };
    tokio::select! {
        ended = driver.watch(label, None, &tell) => panic!("the events ended: {ended:?}"),
        () = acts => {}
    }
    let told = told.into_inner().unwrap();
    assert!(told.contains(&(id.clone(), "die".to_owned())), "{told:?}");
    driver.remove(&id).await.unwrap();
}

async fn suite(driver: &dyn ContainerDriver) {
    measures(driver).await;
    let info = driver.info().await.unwrap();
    assert!(
        info.cpus > 0 && info.memory > 0 && !info.api_version.is_empty(),
        "{info:?}"
    );

    // Found by label before it was ever started; a taken name is a conflict.
    let id = driver.create(&config("one")).await.unwrap();
    assert_eq!(id.len(), 64);
    let found = driver.find(&[("suite", "1"), (LABEL_NODE, "one")]).await.unwrap();
    assert_eq!(
        (found.len(), found[0].id.as_str(), found[0].state.as_str()),
        (1, id.as_str(), "created")
    );
    assert_eq!(found[0].name, "one");
    assert!(driver.find(&[("suite", "2")]).await.unwrap().is_empty());
    assert!(driver.create(&config("one")).await.unwrap_err().is_conflict());

    // Life, each verb twice: already so is success.
    for _ in 0..2 {
        driver.start(&id).await.unwrap();
    }
    let state = driver.inspect(&id).await.unwrap();
    assert_eq!(
        (state.status.as_str(), state.id.as_str(), state.name.as_str()),
        ("running", id.as_str(), "one")
    );
    assert!(
        !state.document.to_string().contains("swordfish"),
        "no secret in the document"
    );
    for _ in 0..2 {
        driver.pause(&id).await.unwrap();
    }
    assert_eq!(driver.inspect(&id).await.unwrap().status, "paused");
    for _ in 0..2 {
        driver.unpause(&id).await.unwrap();
    }
    driver.restart(&id, Some(0)).await.unwrap();
    assert_eq!(driver.inspect(&id).await.unwrap().status, "running");
    driver.rename(&id, "renamed").await.unwrap();
    assert_eq!(driver.inspect("renamed").await.unwrap().id, id);
    let resources = Resources {
        memory: Some(128 << 20),
        ..Resources::default()
    };
    let restart = RestartPolicy {
        name: "on-failure".to_owned(),
        max_retries: Some(2),
    };
    driver.update(&id, &resources, Some(&restart)).await.unwrap();
    let shown = driver.inspect(&id).await.unwrap().document;
    assert_eq!(
        shown.pointer("/HostConfig/Memory").and_then(serde_json::Value::as_i64),
        Some(128 << 20)
    );
    for _ in 0..2 {
        driver.stop(&id, Some(0)).await.unwrap();
    }
    let ended = driver.inspect(&id).await.unwrap();
    assert_eq!(ended.status, "exited");
    assert!(ended.exit_code.is_some());
    assert!(
        driver.kill(&id, None).await.unwrap_err().is_conflict(),
        "it does not run"
    );
    assert!(driver.pause(&id).await.is_err());
    for _ in 0..2 {
        driver.remove(&id).await.unwrap();
    }
    assert!(driver.inspect(&id).await.unwrap_err().is_not_found());
    assert!(driver.start(&id).await.unwrap_err().is_not_found());

    // A start that fails is told, and what it left can be taken away.
    let bad = ContainerConfig {
        command: Some(vec!["/nonexistent".to_owned()]),
        init: None,
        ..config("bad")
    };
    let id = driver.create(&bad).await.unwrap();
    assert!(driver.start(&id).await.is_err());
    assert_eq!(driver.find(&[(LABEL_NODE, "bad")]).await.unwrap().len(), 1);
    driver.remove(&id).await.unwrap();

    // A port is given once.
    let port = PortBinding {
        container: 80,
        host: Some(18_080),
        host_ip: None,
        protocol: "tcp".to_owned(),
    };
    let with_port = |name: &str| ContainerConfig {
        ports: vec![port.clone()],
        ..config(name)
    };
    let first = driver.create(&with_port("p1")).await.unwrap();
    driver.start(&first).await.unwrap();
    let second = driver.create(&with_port("p2")).await.unwrap();
    let error = driver.start(&second).await.unwrap_err();
    assert!(error.is_conflict(), "{error:?}");
    driver.remove(&first).await.unwrap();
    driver.remove(&second).await.unwrap();

    // Images.
    assert!(driver.has_image("senlin/busybox:latest").await.unwrap());
    assert!(!driver.has_image("127.0.0.1:1/missing:1").await.unwrap());
    let auth = RegistryAuth {
        username: "u".to_owned(),
        password: Secret::new("swordfish"),
        server: None,
    };
    let error = driver.pull("127.0.0.1:1/missing:1", Some(&auth)).await.unwrap_err();
    // The registry does not have it, or cannot be reached; the latter may pass.
    assert!(
        matches!(&error, DriverError::Pull { .. } | DriverError::Failed(_))
            && error
                .to_string()
                .contains("'127.0.0.1:1/missing:1' could not be pulled"),
        "{error:?}"
    );
    assert!(!format!("{error:?} {error}").contains("swordfish"));
    assert!(
        driver.find(&[("suite", "1")]).await.unwrap().is_empty(),
        "nothing is left"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_simulated_host() {
    suite(connect("sim://suite").await.as_ref()).await;
}

/// The oldest engine we support, by its socket and its plain address.
#[tokio::test(flavor = "multi_thread")]
async fn on_docker_with_api_1_41() {
    let hosts = Hosts::of(&[(Engine::Oldest, false)], 42).unwrap();
    let driver = connect(&hosts.all[0].endpoint()).await;
    assert_eq!(driver.info().await.unwrap().api_version, "1.41");
    suite(driver.as_ref()).await;
    // The same engine over its address: only when insecurity is allowed.
    let url = format!("tcp://{}:2375", hosts.all[0].address);
    let connector = Connector::new(Settings::default());
    let refused = connector.connect(&endpoint(&url)).await.err().unwrap();
    assert!(matches!(refused, DriverError::Endpoint { .. }), "{refused:?}");
    let allowed = Endpoint {
        allow_insecure: true,
        ..endpoint(&url)
    };
    suite(connector.connect(&allowed).await.unwrap().as_ref()).await;
    // Gone: nothing happened, and that is what it says.
    hosts.all[0].stop();
    let error = connect_error(&endpoint(&hosts.all[0].endpoint())).await;
    assert!(error.is_transient(), "{error:?}");
}

/// A newer engine, by mutual TLS and by ssh.
#[tokio::test(flavor = "multi_thread")]
async fn on_docker_with_api_1_45() {
    let hosts = Hosts::of(&[(Engine::Newer, true)], 43).unwrap();
    let host = &hosts.all[0];
    let driver = Connector::new(Settings::default())
        .connect(&host.secured("client", "ca").unwrap())
        .await
        .unwrap();
    assert_eq!(driver.info().await.unwrap().api_version, "1.45");
    suite(driver.as_ref()).await;
    // Neither a client that the host does not know, nor a host that we do not trust.
    for (who, trusts) in [("stranger", "ca"), ("client", "stranger")] {
        let door = host.secured(who, trusts).unwrap();
        let error = connect_error(&door).await;
        let key = door.tls.unwrap().key.expose().to_owned();
        assert!(!format!("{error:?} {error}").contains(&key));
        println!("as {who}, trusting {trusts}: {error}");
    }
    let broken = Endpoint {
        tls: host
            .secured("client", "ca")
            .unwrap()
            .tls
            .map(|t| senlin_core::host::Tls {
                key: Secret::new("not a key"),
                ..t
            }),
        ..host.secured("client", "ca").unwrap()
    };
    let error = connect_error(&broken).await;
    assert!(error.to_string().contains("tls.key holds no private key"), "{error}");

    let ssh = host.ssh().unwrap();
    let driver = Connector::new(Settings::default())
        .connect(&ssh.endpoint)
        .await
        .unwrap();
    suite(driver.as_ref()).await;
    let wrong = Endpoint {
        ssh_key: Some(Secret::new("not a key")),
        ..ssh.endpoint.clone()
    };
    println!("with a wrong ssh key: {}", connect_error(&wrong).await);
}

async fn connect_error(endpoint: &Endpoint) -> DriverError {
    Connector::new(Settings::default())
        .connect(endpoint)
        .await
        .err()
        .unwrap()
}

#[tokio::test]
async fn what_is_not_allowed_is_refused() {
    let strict = Connector::new(Settings::default());
    for url in ["sim://a", "tcp://127.0.0.1:1", "http://127.0.0.1:1", "nonsense"] {
        let refused = strict.accept(&endpoint(url)).unwrap_err();
        assert!(matches!(refused, DriverError::Endpoint { .. }), "{url}");
    }
    assert!(strict.accept(&endpoint("unix:///run/docker.sock")).is_ok());
    assert!(strict.accept(&endpoint("ssh://root@host")).is_ok());
}
