//! End to end on two real Docker hosts: what policies decide, and what metrics
//! trigger.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says what it counted"
)]

use hyper::Method;
use senlin_testkit::until;
use senlin_tests::{
    hosts::Hosts,
    http::text,
    metrics,
    programs::Plane,
    story::{MINUTE, attach, story, web},
};
use serde_json::json;

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

/// Starts what keeps a host busy, whatever else this machine does meanwhile.
fn burner() -> String {
    let burn = "for n in 1 2 3 4 5 6; do while :; do :; done & done; wait";
    // Beside all that Docker runs, not a share of what all of that gets.
    format!("run -d --name burner --cgroup-parent=/ --cpu-shares 3072 senlin/busybox sh -c '{burn}'")
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

/// Scales out by six as planned; returns what was planned and what came on the first host.
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
        let cluster = web(&plane, "cool", 2, &json!({})).await.unwrap();
        attach(&plane, &cluster, "senlin.policy.host_placement-1.0", &json!({}))
            .await
            .unwrap();
        hosts.all[0].docker(&burner()).unwrap();
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
    let cluster = web(&plane, "cool", 2, &json!({})).await.unwrap();
    attach(&plane, &cluster, "senlin.policy.host_placement-1.0", &json!({}))
        .await
        .unwrap();
    let burner = metrics::burner(hosts.all[0].namespace()).unwrap();
    hot(&plane, &ids[0], 25.0).await;
    let (planned, came) = six_more(&plane, &hosts, &cluster, &ids[0]).await;
    println!("node exporter: of six, {planned} planned for the busy host, {came} came");
    assert!(planned <= 1 && came == planned, "{planned} {came}");
    drop((burner, exporters));
    client.delete_cluster(&cluster, MINUTE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn real_metrics_make_a_cluster_grow_and_shrink() {
    let hosts = Hosts::start(2, 45).unwrap();
    let endpoints: Vec<String> = hosts.all.iter().map(|h| h.endpoint()).collect();
    // Prometheus is on this machine, which tenants' URLs do not reach unless somebody says so.
    let extra = "engine.measure = 1\nengine.allow_addresses = [\"127.0.0.1\"]\n";
    let plane = Plane::start(1, extra).await.unwrap();
    plane.hosts(&endpoints).await.unwrap();
    // Busy until somebody says otherwise.
    let busy = "while :; do [ -e /tmp/idle ] && sleep 1; done";
    let cluster = web(&plane, "load", 1, &json!({"command": ["sh", "-c", busy], "cpu": 0.3}))
        .await
        .unwrap();
    let receiver = json!({"receiver": {"name": "alerts", "type": "alertmanager", "cluster_id": cluster,
        "action": "CLUSTER_SCALE_OUT", "params": {"count": 1},
        "options": {"window": 30, "resolved": "CLUSTER_SCALE_IN", "resolved_params": {"count": 1}}}});
    let made = plane.client.post("/v1/receivers", &receiver).await.unwrap();
    let url = text(&made, "/receiver/channel/alarm_url").unwrap();
    let scrape = plane.ops[0].trim_start_matches("http://").to_owned();
    let rule = "senlin_cluster_cpu_percent{cluster=\"load\"} > 60";
    let (_prometheus, _alertmanager, prometheus) = metrics::alerting(&scrape, rule, &url).unwrap();
    plane.client.active(&cluster, 2, MINUTE * 2).await.unwrap();
    println!("grew by a firing alert");
    for host in &hosts.all {
        for id in host.labelled(&format!("senlin.cluster={cluster}")).unwrap() {
            host.docker(&format!("exec {id} touch /tmp/idle")).unwrap();
        }
    }
    plane.client.active(&cluster, 1, MINUTE * 2).await.unwrap();
    println!("shrank when it was resolved");
    let told = story(&plane, &cluster).await.unwrap();
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
    // A target by a query: 100 where 50 is wanted is twice as many, once, for the cooldown is long.
    let served = json!({"command": ["sleep", "100000"], "ports": ["80"], "labels": {"team": "red"}});
    let track = web(&plane, "track", 1, &served).await.unwrap();
    let properties = json!({"metric": "prometheus", "prometheus": {"url": prometheus, "query": "vector(100)"},
        "target": 50, "interval": 1, "cooldown_up": 3600});
    attach(&plane, &track, "senlin.policy.target_tracking-1.0", &properties)
        .await
        .unwrap();
    plane.client.active(&track, 2, MINUTE).await.unwrap();
    let told = story(&plane, &track).await.unwrap();
    assert!(
        told.iter()
            .any(|l| l.contains("The query's answer is 100.0, the target 50.0")),
        "{told:?}"
    );
    let targets = plane.client.get("/v1/prometheus/targets").await.unwrap();
    assert_eq!(targets.as_array().unwrap().len(), 2, "{targets}");
    assert_eq!(targets[0]["labels"]["__meta_senlin_cluster_name"], "track");
    assert_eq!(targets[0]["labels"]["__meta_senlin_label_team"], "red");
    plane.client.delete_cluster(&track, MINUTE).await.unwrap();
    plane.client.delete_cluster(&cluster, MINUTE).await.unwrap();
}
