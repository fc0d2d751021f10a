//! End to end on two real Docker hosts: containers that drain before they go,
//! what heals by itself, and a rolling update that goes bad.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it counted"
)]

use std::time::{Duration, Instant};

use hyper::Method;
use senlin_testkit::until;
use senlin_tests::{
    hosts::Hosts,
    http::text,
    programs::Plane,
    story::{MINUTE, attach, container, story, web},
};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn containers_drain_heal_and_roll() {
    let hosts = Hosts::start(2, 46).unwrap();
    let endpoints: Vec<String> = hosts.all.iter().map(|h| format!("tcp://{}:2375", h.address)).collect();
    let extra = "[rules]\ncontainer_url = \"http://10.99.46.1:{port}\"\n";
    let plane = Plane::start(1, extra).await.unwrap();
    plane.hosts(&endpoints).await.unwrap();
    drains(&plane, &hosts).await;
    heals(&plane, &hosts).await;
    answers(&plane, &hosts).await;
    rolls(&plane, &hosts).await;
}

/// It asks who it is, says hello, and when it is to go takes two seconds to
/// drain and then says so.
const DRAINER: &str = r#"
get() { wget -q -O - --header "Authorization: Bearer $SENLIN_SELF_KEY" "$SENLIN_SELF_URL$1"; }
post() { wget -q -O /dev/null --header "Authorization: Bearer $SENLIN_SELF_KEY" --header "Content-Type: application/json" --post-data "$2" "$SENLIN_SELF_URL$1"; }
until post /events '{"message": "hello from inside"}'; do sleep 1; done
get /members
while :; do
  if get "" | grep -q lifecycle_action_token; then
    post /lifecycle '{"result": "HEARTBEAT"}'
    sleep 2
    post /events '{"message": "drained"}'
    post /lifecycle '{"result": "CONTINUE"}'
  fi
  sleep 0.3
done
"#;

async fn drains(plane: &Plane, hosts: &Hosts) {
    let client = &plane.client;
    let cluster = web(
        plane,
        "drains",
        2,
        &json!({"command": ["sh", "-c", DRAINER], "interface": true}),
    )
    .await
    .unwrap();
    let hooks = json!({"timeout": 20, "params": {"queue": "drains"}});
    attach(plane, &cluster, "senlin.policy.deletion-1.1", &json!({"hooks": hooks}))
        .await
        .unwrap();
    until("the containers to say hello", MINUTE, || async {
        let told = story(plane, &cluster).await.unwrap();
        anyhow::ensure!(
            told.iter().filter(|l| l.contains("hello from inside")).count() == 2,
            "{told:?}"
        );
        Ok(())
    })
    .await
    .unwrap();
    let begun = Instant::now();
    client
        .act(&cluster, &json!({"scale_in": {"count": 1}}), MINUTE)
        .await
        .unwrap();
    let took = begun.elapsed();
    let told = story(plane, &cluster).await.unwrap();
    let at = |part: &str| {
        told.iter()
            .position(|l| l.contains(part))
            .unwrap_or_else(|| panic!("no {part}: {told:?}"))
    };
    assert!(at("drained") < at("The node answered its lifecycle hook."));
    assert!(at("The node answered its lifecycle hook.") < at("NODE_DELETE end"));
    println!("drained, acknowledged and removed in {:.1} s", took.as_secs_f64());
    assert!(
        took > Duration::from_secs(2) && took < Duration::from_secs(19),
        "{took:?}"
    );
    client.delete_cluster(&cluster, MINUTE).await.unwrap();

    // One that never answers goes at its time.
    let mute = web(plane, "mute", 2, &json!({"interface": true})).await.unwrap();
    let hooks = json!({"timeout": 3, "params": {"queue": "drains"}});
    attach(plane, &mute, "senlin.policy.deletion-1.1", &json!({"hooks": hooks}))
        .await
        .unwrap();
    let begun = Instant::now();
    client
        .act(&mute, &json!({"scale_in": {"count": 1}}), MINUTE)
        .await
        .unwrap();
    println!("removed without an answer after {:.1} s", begun.elapsed().as_secs_f64());
    assert!(begun.elapsed() >= Duration::from_secs(3));
    let told = story(plane, &mute).await.unwrap();
    assert!(
        told.iter()
            .any(|l| l.contains("No answer to the lifecycle hook within 3 s.")),
        "{told:?}"
    );

    // The key of a container opens its own node, and none when that is gone.
    let host = hosts
        .all
        .iter()
        .find(|h| !h.labelled(&format!("senlin.cluster={mute}")).unwrap().is_empty())
        .unwrap();
    let id = host.labelled(&format!("senlin.cluster={mute}")).unwrap().remove(0);
    let key = host
        .docker(&format!("exec {id} sh -c 'echo $SENLIN_SELF_KEY'"))
        .unwrap();
    let url = format!("{}/v1/self", client.base());
    let bearer = format!("Bearer {}", key.trim());
    let own = [("Authorization", bearer.as_str())];
    let (status, _, body) = senlin_tests::http::raw(Method::GET, &url, &own, None).await.unwrap();
    assert_eq!(status, 200, "{body}");
    let protect = json!({"seconds": 60});
    let to = format!("{url}/protection");
    let (status, _, _) = senlin_tests::http::raw(Method::POST, &to, &own, Some(&protect))
        .await
        .unwrap();
    assert_eq!(status, 200);
    let refused = client
        .act(&mute, &json!({"scale_in": {"count": 1}}), MINUTE)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("protects itself"), "{refused}");
    client.delete_cluster(&mute, MINUTE).await.unwrap();
    let (status, _, _) = senlin_tests::http::raw(Method::GET, &url, &own, None).await.unwrap();
    assert_eq!(status, 401, "the key ends with its container");
}

async fn heals(plane: &Plane, hosts: &Hosts) {
    let client = &plane.client;
    let cluster = web(plane, "heals", 4, &json!({})).await.unwrap();
    let properties = json!({"detection": {"interval": 60, "detection_modes": [{"type": "LIFECYCLE_EVENTS"}]},
        "recovery": {"actions": [{"name": "RESTART"}, {"name": "RECREATE"}], "budget": 100}});
    attach(plane, &cluster, "senlin.policy.health-1.2", &properties)
        .await
        .unwrap();
    // Events are listened to from the first lease on.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let victim = hosts.all[0]
        .labelled(&format!("senlin.cluster={cluster}"))
        .unwrap()
        .remove(0);
    let begun = Instant::now();
    hosts.all[0].docker(&format!("kill {victim}")).unwrap();
    until("a recovery", MINUTE, || async {
        let told = story(plane, &cluster).await.unwrap();
        anyhow::ensure!(told.iter().any(|l| l.starts_with("NODE_RECOVER end")), "{told:?}");
        Ok(())
    })
    .await
    .unwrap();
    client.active(&cluster, 4, MINUTE).await.unwrap();
    println!(
        "killed, noticed and ACTIVE again in {:.2} s",
        begun.elapsed().as_secs_f64()
    );
    let gone = hosts.all[1]
        .labelled(&format!("senlin.cluster={cluster}"))
        .unwrap()
        .remove(0);
    // The engine sees nothing until all of it is over, and then that it is gone.
    plane.engines[0].signal("-STOP");
    hosts.all[1].docker(&format!("rm -f {gone}")).unwrap();
    plane.engines[0].signal("-CONT");
    until("the second recovery", MINUTE, || async {
        let told = story(plane, &cluster).await.unwrap();
        let ends = told.iter().filter(|l| l.starts_with("NODE_RECOVER end")).count();
        anyhow::ensure!(ends == 2, "{told:?}");
        Ok(())
    })
    .await
    .unwrap();
    let told = story(plane, &cluster).await.unwrap();
    for part in [
        "exited with code 137",
        "gone from its host",
        "recovered by RESTART",
        "recovered by RECREATE",
    ] {
        assert!(told.iter().any(|l| l.contains(part)), "no '{part}' in {told:?}");
    }
    client.delete_cluster(&cluster, MINUTE).await.unwrap();
}

/// A container that runs but does not answer is as good as dead.
async fn answers(plane: &Plane, hosts: &Hosts) {
    let serve = "mkdir -p /www; echo fine > /www/index.html; httpd -f -p 80 -h /www & echo $! > /tmp/pid; sleep 100000";
    let extra = json!({"command": ["sh", "-c", serve], "ports": ["80"]});
    let cluster = web(plane, "answers", 2, &extra).await.unwrap();
    let options = json!({"poll_url": "http://{host}:{port:80}/", "poll_url_healthy_response": "^fine",
        "poll_url_retry_limit": 1, "poll_url_retry_interval": 1});
    let tcp = json!({"poll_url": "tcp://{host}:{port:80}", "poll_url_retry_limit": 0});
    let modes = json!([{"type": "NODE_STATUS_POLL_URL", "options": options},
        {"type": "NODE_STATUS_POLL_URL", "options": tcp}]);
    let properties = json!({"detection": {"interval": 2, "node_update_timeout": 1, "detection_modes": modes},
        "recovery": {"actions": [{"name": "RESTART"}]}});
    attach(plane, &cluster, "senlin.policy.health-1.2", &properties)
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    let told = story(plane, &cluster).await.unwrap();
    assert!(
        !told.iter().any(|l| l.starts_with("NODE_RECOVER")),
        "both answer: {told:?}"
    );
    let id = hosts.all[0]
        .labelled(&format!("senlin.cluster={cluster}"))
        .unwrap()
        .remove(0);
    hosts.all[0]
        .docker(&format!("exec {id} sh -c 'kill $(cat /tmp/pid)'"))
        .unwrap();
    until("the mute one to be recovered", MINUTE, || async {
        let told = story(plane, &cluster).await?;
        anyhow::ensure!(told.iter().any(|l| l.contains("recovered by RESTART")), "{told:?}");
        Ok(())
    })
    .await
    .unwrap();
    let told = story(plane, &cluster).await.unwrap();
    assert!(
        told.iter().any(|l| l.contains("The check of http://10.99.46.1")),
        "{told:?}"
    );
    tokio::time::sleep(Duration::from_secs(6)).await;
    let recoveries = |told: &[String]| told.iter().filter(|l| l.starts_with("NODE_RECOVER end")).count();
    assert_eq!(
        recoveries(&story(plane, &cluster).await.unwrap()),
        1,
        "it answers again"
    );
    plane.client.delete_cluster(&cluster, MINUTE).await.unwrap();
}

/// Answers its first two visitors, and nobody after them.
async fn two_only() -> u16 {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut answered = 0;
        while let Ok((mut stream, _)) = listener.accept().await {
            answered += 1;
            let _ = stream.read(&mut [0; 1024]).await;
            let line: &[u8] = if answered <= 2 {
                b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
            } else {
                b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"
            };
            let _ = stream.write_all(line).await;
        }
    });
    port
}

async fn ids(hosts: &Hosts, cluster: &str) -> Vec<String> {
    let mut all = Vec::new();
    for host in &hosts.all {
        all.extend(host.labelled(&format!("senlin.cluster={cluster}")).unwrap());
    }
    all.sort();
    all
}

async fn rolls(plane: &Plane, hosts: &Hosts) {
    let client = &plane.client;
    let cluster = web(plane, "rolls", 10, &json!({})).await.unwrap();
    let properties = json!({"max_batch_size": 1, "pause_time": 2, "on_failure": "ROLLBACK"});
    attach(plane, &cluster, "senlin.policy.batch-1.0", &properties)
        .await
        .unwrap();
    let before = ids(hosts, &cluster).await;
    // The third that runs this ends at once: what it needs is used up.
    let port = two_only().await;
    let command = format!("sleep 1; wget -q -O /dev/null http://10.99.46.1:{port}/ && exec sleep 100000");
    let bad = client
        .profile(
            "bad",
            "container.dockerinc.docker",
            "1.1",
            container(&json!({"command": ["sh", "-c", command]})),
        )
        .await
        .unwrap();
    let (status, _) = client
        .call(
            Method::PATCH,
            &format!("/v1/clusters/{cluster}"),
            Some(&json!({"cluster": {"profile_id": bad}})),
        )
        .await
        .unwrap();
    assert_eq!(status, 202);
    until("the update to end", MINUTE * 2, || async {
        let told = story(plane, &cluster).await.unwrap();
        anyhow::ensure!(
            told.iter().any(|l| l.starts_with("CLUSTER_UPDATE error")),
            "{:?}",
            told.last()
        );
        Ok(())
    })
    .await
    .unwrap();
    client.active(&cluster, 10, MINUTE).await.unwrap();
    let told = story(plane, &cluster).await.unwrap();
    let end = told.iter().find(|l| l.starts_with("CLUSTER_UPDATE error")).unwrap();
    println!("{end}");
    assert!(
        end.contains("stopped in batch 3 of 10") && end.contains("Rolled back: 2 members"),
        "{end}"
    );
    let after = ids(hosts, &cluster).await;
    let untouched = after.iter().filter(|id| before.contains(id)).count();
    assert_eq!(
        untouched, 8,
        "the seven not updated yet are the same containers, and the third kept its own"
    );
    let nodes = client.get(&format!("/v1/nodes?cluster_id={cluster}")).await.unwrap();
    let old = text(
        &client.get(&format!("/v1/clusters/{cluster}")).await.unwrap(),
        "/cluster/profile_id",
    )
    .unwrap();
    assert_ne!(old, bad);
    let back = nodes["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|n| n["profile_id"] == json!(old))
        .count();
    assert_eq!(back, 10, "every member has the old profile");
    client.delete_cluster(&cluster, MINUTE).await.unwrap();
}
