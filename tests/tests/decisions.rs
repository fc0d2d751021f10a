//! End to end on two real Docker hosts: what policies decide, what metrics
//! trigger, and what heals by itself.

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
use senlin_tests::{hosts::Hosts, http::text, metrics, programs::Plane};
use serde_json::{Value, json};

const MINUTE: Duration = Duration::from_secs(60);

fn container(extra: Value) -> Value {
    let mut properties = json!({"image": "senlin/busybox:latest", "pull_policy": "never", "command": ["sleep", "100000"],
        "stop_grace_period": 0, "host_cluster": "hosts", "init": true});
    properties
        .as_object_mut()
        .unwrap()
        .extend(extra.as_object().unwrap().clone());
    properties
}

async fn web(plane: &Plane, name: &str, size: usize, extra: Value) -> String {
    let client = &plane.client;
    let profile = client
        .profile(name, "container.dockerinc.docker", "1.1", container(extra))
        .await
        .unwrap();
    let cluster = client.cluster(name, &profile, size.try_into().unwrap()).await.unwrap();
    client.active(&cluster, size, MINUTE).await.unwrap();
    cluster
}

async fn attach(plane: &Plane, cluster: &str, kind: &str, properties: Value) {
    let (type_name, version) = kind.rsplit_once('-').unwrap();
    let spec = json!({"type": type_name, "version": version, "properties": properties});
    let made = plane
        .client
        .post("/v1/policies", &json!({"policy": {"name": type_name, "spec": spec}}))
        .await
        .unwrap();
    let policy = text(&made, "/policy/id").unwrap();
    let body = json!({"policy_attach": {"policy_id": policy, "enabled": true}});
    plane.client.act(cluster, &body, MINUTE).await.unwrap();
}

/// A number that the engine tells Prometheus.
async fn gauge(plane: &Plane, name: &str, label: &str) -> f64 {
    let url = format!("{}/metrics", plane.ops[0]);
    let (_, _, body) = senlin_tests::http::raw(Method::GET, &url, &[], None).await.unwrap();
    let line = |l: &&str| l.starts_with(name) && l.contains(label);
    let value = body.as_str().unwrap_or_default().lines().find(line).map(str::to_owned);
    value
        .and_then(|l| l.rsplit(' ').next()?.parse().ok())
        .unwrap_or(f64::NAN)
}

async fn hot(plane: &Plane, host: &str, least: f64) {
    until("the busy host to be measured", MINUTE, || async {
        let load = gauge(plane, "senlin_host_cpu_percent", host).await;
        anyhow::ensure!(load > least, "it is at {load:.0} %");
        Ok(())
    })
    .await
    .unwrap();
}

/// The cluster of hosts' node ids, in the order of the endpoints.
async fn host_ids(plane: &Plane, endpoints: &[String]) -> Vec<String> {
    let nodes = plane.client.get("/v1/nodes?cluster_id=hosts").await.unwrap();
    let nodes = nodes["nodes"].as_array().unwrap();
    let of = |endpoint: &String| {
        let node = nodes.iter().find(|n| n["physical_id"] == json!(endpoint)).unwrap();
        text(node, "/id").unwrap()
    };
    endpoints.iter().map(of).collect()
}

/// Scales out by six as planned; answers what was planned and what came on the first host.
async fn six_more(plane: &Plane, hosts: &Hosts, cluster: &str, busy: &str) -> (usize, usize) {
    let before = hosts.all[0]
        .labelled(&format!("senlin.cluster={cluster}"))
        .unwrap()
        .len();
    for _ in 0..5 {
        let path = format!("/v1/clusters/{cluster}/plan");
        let plan = plane
            .client
            .post(&path, &json!({"scale_out": {"count": 6}}))
            .await
            .unwrap();
        let plan = &plan["plan"];
        assert_eq!(plan["possible"], true, "{plan}");
        let planned = plan["placements"].as_array().unwrap();
        let on = planned.iter().filter(|p| p["host"]["id"] == json!(busy)).count();
        let body = json!({"scale_out": {"count": 6, "plan_token": plan["token"]}});
        match plane.client.act(cluster, &body, MINUTE).await {
            Ok(()) => {
                let after = hosts.all[0]
                    .labelled(&format!("senlin.cluster={cluster}"))
                    .unwrap()
                    .len();
                return (on, after - before);
            }
            // The measure moved between plan and action, and so did the plan.
            Err(error) if error.to_string().contains("The plan is no longer true") => {}
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the plan never held");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_host_gets_at_most_one_of_six() {
    let hosts = Hosts::start(2, 44).unwrap();
    let endpoints: Vec<String> = hosts.all.iter().map(|h| h.endpoint()).collect();
    {
        let plane = Plane::start(1, "engine.measure = 1\n").await.unwrap();
        plane.hosts(&endpoints).await.unwrap();
        let ids = host_ids(&plane, &endpoints).await;
        let cluster = web(&plane, "cool", 2, json!({})).await;
        attach(&plane, &cluster, "senlin.policy.host_placement-1.0", json!({})).await;
        hosts.all[0]
            .docker("run -d --name burner senlin/busybox sh -c 'while :; do :; done'")
            .unwrap();
        hot(&plane, &ids[0], 25.0).await;
        let (planned, came) = six_more(&plane, &hosts, &cluster, &ids[0]).await;
        println!("docker stats: of six, {planned} planned for the busy host, {came} came");
        assert!(planned <= 1 && came == planned, "{planned} {came}");
        hosts.all[0].docker("rm -f burner").unwrap();
        plane.client.delete_cluster(&cluster, MINUTE).await.unwrap();
    }
    // The same with real node exporters as the measure, and a load that is no container.
    let exporters: Vec<_> = hosts
        .all
        .iter()
        .map(|h| metrics::exporter(h.namespace()).unwrap())
        .collect();
    let plane = Plane::start(1, "engine.measure = 1\n").await.unwrap();
    let urls: Vec<String> = hosts.all.iter().map(|h| format!("tcp://{}:2375", h.address)).collect();
    let list: Vec<_> = urls
        .iter()
        .map(|url| json!({"url": url, "allow_insecure": true}))
        .collect();
    let properties = json!({"endpoints": list, "node_exporter": "http://{host}:9100/metrics"});
    let client = &plane.client;
    let profile = client
        .profile("hosts", "host.dockerinc.engine", "1.0", properties)
        .await
        .unwrap();
    let id = client.cluster("hosts", &profile, 2).await.unwrap();
    client.active(&id, 2, MINUTE).await.unwrap();
    let ids = host_ids(&plane, &urls).await;
    let cluster = web(&plane, "cool", 2, json!({})).await;
    attach(&plane, &cluster, "senlin.policy.host_placement-1.0", json!({})).await;
    let burner = metrics::burner(hosts.all[0].namespace()).unwrap();
    hot(&plane, &ids[0], 25.0).await;
    let (planned, came) = six_more(&plane, &hosts, &cluster, &ids[0]).await;
    println!("node exporter: of six, {planned} planned for the busy host, {came} came");
    assert!(planned <= 1 && came == planned, "{planned} {came}");
    drop((burner, exporters));
    client.delete_cluster(&cluster, MINUTE).await.unwrap();
}

/// Everything that happened to a cluster, oldest first: action, status, reason.
async fn story(plane: &Plane, cluster: &str) -> Vec<String> {
    let path = format!("/v1/events?cluster_id={cluster}&sort=timestamp:asc&limit=500");
    let events = plane.client.get(&path).await.unwrap();
    let line = |e: &Value| format!("{} {}: {}", e["action"], e["status"], e["status_reason"]).replace('"', "");
    events["events"].as_array().unwrap().iter().map(line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn real_metrics_make_a_cluster_grow_and_shrink() {
    let hosts = Hosts::start(2, 45).unwrap();
    let endpoints: Vec<String> = hosts.all.iter().map(|h| h.endpoint()).collect();
    let plane = Plane::start(1, "engine.measure = 1\n").await.unwrap();
    plane.hosts(&endpoints).await.unwrap();
    // Busy until somebody says otherwise.
    let busy = "while :; do [ -e /tmp/idle ] && sleep 1; done";
    let cluster = web(&plane, "load", 1, json!({"command": ["sh", "-c", busy], "cpu": 0.3})).await;
    let receiver = json!({"receiver": {"name": "alerts", "type": "alertmanager", "cluster_id": cluster,
        "action": "CLUSTER_SCALE_OUT", "params": {"count": 1},
        "options": {"window": 30, "resolved": "CLUSTER_SCALE_IN", "resolved_params": {"count": 1}}}});
    let made = plane.client.post("/v1/receivers", &receiver).await.unwrap();
    let url = text(&made, "/receiver/channel/alarm_url").unwrap();
    let scrape = plane.ops[0].trim_start_matches("http://").to_owned();
    let rule = "senlin_cluster_cpu_percent{cluster=\"load\"} > 60";
    let _alerting = metrics::alerting(&scrape, rule, &url).unwrap();
    plane.client.active(&cluster, 2, MINUTE * 2).await.unwrap();
    println!("grew by a firing alert");
    for host in &hosts.all {
        for id in host.labelled(&format!("senlin.cluster={cluster}")).unwrap() {
            host.docker(&format!("exec {id} touch /tmp/idle")).unwrap();
        }
    }
    plane.client.active(&cluster, 1, MINUTE * 2).await.unwrap();
    println!("shrank when it was resolved");
    let told = story(&plane, &cluster).await;
    println!("{}", told.join("\n"));
    for part in [
        "CLUSTER_SCALE_OUT start",
        "Alert 'Hot' is firing.",
        "CLUSTER_SCALE_IN start",
        "Alert 'Hot' is resolved.",
    ] {
        assert!(told.iter().any(|line| line.contains(part)), "no '{part}'");
    }
    let path = format!("/v1/receivers/{}/deliveries", text(&made, "/receiver/id").unwrap());
    let deliveries = plane.client.get(&path).await.unwrap();
    let outcomes: Vec<_> = deliveries["deliveries"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| d["outcome"].clone())
        .collect();
    assert!(outcomes.iter().filter(|o| *o == "ACTED").count() >= 2, "{deliveries}");
    let targets = plane.client.get("/v1/prometheus/targets").await.unwrap();
    assert_eq!(targets, json!([]), "nothing is published");
    plane.client.delete_cluster(&cluster, MINUTE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_drain_heal_and_roll() {
    let hosts = Hosts::start(2, 46).unwrap();
    let endpoints: Vec<String> = hosts.all.iter().map(|h| h.endpoint()).collect();
    let extra = "[rules]\ncontainer_url = \"http://10.99.46.1:{port}\"\n";
    let plane = Plane::start(1, extra).await.unwrap();
    plane.hosts(&endpoints).await.unwrap();
    drains(&plane, &hosts).await;
    heals(&plane, &hosts).await;
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
        json!({"command": ["sh", "-c", DRAINER], "interface": true}),
    )
    .await;
    let hooks = json!({"timeout": 20, "params": {"queue": "drains"}});
    attach(plane, &cluster, "senlin.policy.deletion-1.1", json!({"hooks": hooks})).await;
    until("the containers to say hello", MINUTE, || async {
        let told = story(plane, &cluster).await;
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
    let told = story(plane, &cluster).await;
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
    let mute = web(plane, "mute", 2, json!({"interface": true})).await;
    let hooks = json!({"timeout": 3, "params": {"queue": "drains"}});
    attach(plane, &mute, "senlin.policy.deletion-1.1", json!({"hooks": hooks})).await;
    let begun = Instant::now();
    client
        .act(&mute, &json!({"scale_in": {"count": 1}}), MINUTE)
        .await
        .unwrap();
    println!("removed without an answer after {:.1} s", begun.elapsed().as_secs_f64());
    assert!(begun.elapsed() >= Duration::from_secs(3));
    let told = story(plane, &mute).await;
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
    let cluster = web(plane, "heals", 4, json!({})).await;
    let properties = json!({"detection": {"interval": 60, "detection_modes": [{"type": "LIFECYCLE_EVENTS"}]},
        "recovery": {"actions": [{"name": "RESTART"}, {"name": "RECREATE"}], "budget": 100}});
    attach(plane, &cluster, "senlin.policy.health-1.2", properties).await;
    // Events are listened to from the first lease on.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let victim = hosts.all[0]
        .labelled(&format!("senlin.cluster={cluster}"))
        .unwrap()
        .remove(0);
    let begun = Instant::now();
    hosts.all[0].docker(&format!("kill {victim}")).unwrap();
    until("a recovery", Duration::from_secs(30), || async {
        let told = story(plane, &cluster).await;
        anyhow::ensure!(told.iter().any(|l| l.starts_with("NODE_RECOVER end")), "{told:?}");
        Ok(())
    })
    .await
    .unwrap();
    client.active(&cluster, 4, Duration::from_secs(30)).await.unwrap();
    println!(
        "killed, noticed and ACTIVE again in {:.2} s",
        begun.elapsed().as_secs_f64()
    );
    let gone = hosts.all[1]
        .labelled(&format!("senlin.cluster={cluster}"))
        .unwrap()
        .remove(0);
    hosts.all[1].docker(&format!("rm -f {gone}")).unwrap();
    until("the second recovery", Duration::from_secs(30), || async {
        let told = story(plane, &cluster).await;
        let ends = told.iter().filter(|l| l.starts_with("NODE_RECOVER end")).count();
        anyhow::ensure!(ends == 2, "{told:?}");
        Ok(())
    })
    .await
    .unwrap();
    let told = story(plane, &cluster).await;
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
    let cluster = web(plane, "rolls", 10, json!({})).await;
    let properties = json!({"max_batch_size": 1, "pause_time": 2, "on_failure": "ROLLBACK"});
    attach(plane, &cluster, "senlin.policy.batch-1.0", properties).await;
    let before = ids(hosts, &cluster).await;
    // The third that runs this ends at once: what it needs is used up.
    let port = two_only().await;
    let command = format!("sleep 1; wget -q -O /dev/null http://10.99.46.1:{port}/ && exec sleep 100000");
    let bad = client
        .profile(
            "bad",
            "container.dockerinc.docker",
            "1.1",
            container(json!({"command": ["sh", "-c", command]})),
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
        let told = story(plane, &cluster).await;
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
    let told = story(plane, &cluster).await;
    let end = told.iter().find(|l| l.starts_with("CLUSTER_UPDATE error")).unwrap();
    println!("{end}");
    assert!(
        end.contains("stopped in batch 3 of 10") && end.contains("Rolled back: 3 members"),
        "{end}"
    );
    let after = ids(hosts, &cluster).await;
    let untouched = after.iter().filter(|id| before.contains(id)).count();
    assert_eq!(untouched, 7, "the seven not updated yet are the same containers");
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
