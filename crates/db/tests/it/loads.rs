//! Measures of what runs.

use senlin_core::ids::NodeId;
use senlin_db::loads::{self, HostLoad, NodeLoad};

use crate::yard::Yard;

#[tokio::test(flavor = "multi_thread")]
async fn two_containers_of_a_node_are_one_measure() {
    let yard = Yard::new().await;
    let node = yard.node("p", None, -1).await;
    let of = |cpu_millis| NodeLoad {
        node,
        cpu_millis,
        memory: 1.0,
    };
    let (host, mut conn) = (NodeId::random(), yard.db.db.session());
    let load = HostLoad {
        measured_at: loads::last(&mut conn, host).await.unwrap().0,
        cpu: None,
        memory: None,
        source: "docker".to_owned(),
        sample: serde_json::json!({}),
        cpu_millis: 1000,
        memory_bytes: 1 << 30,
    };
    loads::record(&mut conn, host, &load, &[of(100.0), of(300.0)])
        .await
        .unwrap();
    let cpu = "SELECT cpu FROM node_loads";
    assert_eq!(yard.db.column(cpu).await.unwrap(), ["30"]);
    yard.db.close().await.unwrap();
}
