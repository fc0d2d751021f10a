//! Measures of what runs.

use senlin_core::ids::*;
use senlin_db::loads::{self, HostLoad, NodeLoad};
use serde_json::json;

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
        sample: json!({}),
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

#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_measured_in_turn_and_measures_are_found() {
    let yard = Yard::new().await;
    let host = yard.node("p", None, -1).await;
    let herd = yard.cluster("p", 3).await;
    let (limited, unlimited) = (herd.nodes[0], herd.nodes[1]);
    yard.db
        .execute(&format!(
            "INSERT INTO hosts (node_id, endpoint, state, info) VALUES ('{host}', 'e', 'UP', '{{\"cpus\": 4}}');
            UPDATE nodes SET host_id = '{host}', placed_at = init_at + interval '1 hour' WHERE cluster_id IS NOT NULL;
            UPDATE nodes SET cpu_millis = 2000, memory = 100 WHERE id = '{limited}';
            UPDATE nodes SET status = 'ERROR' WHERE id = '{}'",
            herd.nodes[2]
        ))
        .await
        .unwrap();
    let mut conn = yard.db.db.session();
    assert_eq!(loads::due(&mut conn, 60.0, 10).await.unwrap(), [host]);
    assert_eq!(loads::due(&mut conn, 60.0, 10).await.unwrap(), []);

    let (now, last) = loads::last(&mut conn, host).await.unwrap();
    assert!(last.is_none());
    let of = |node, cpu_millis| NodeLoad {
        node,
        cpu_millis,
        memory: 50.0,
    };
    for cpu in [Some(10.0), None] {
        let load = HostLoad {
            measured_at: now,
            cpu,
            memory: Some(20.0),
            source: "docker".to_owned(),
            sample: json!({"read": true}),
            cpu_millis: 4000,
            memory_bytes: 200,
        };
        let nodes = [of(limited, 1000.0), of(unlimited, 1000.0), of(NodeId::random(), 1.0)];
        loads::record(&mut conn, host, &load, &nodes).await.unwrap();
        let (_, last) = loads::last(&mut conn, host).await.unwrap();
        let last = last.unwrap();
        assert_eq!((last.cpu, last.memory, last.measured_at), (cpu, Some(20.0), now));
        assert_eq!(last.sample, json!({"read": true}));
    }
    let hosts = loads::hosts(&mut conn).await.unwrap();
    assert_eq!(hosts.len(), 1);
    assert_eq!(
        (hosts[0].id, &*hosts[0].name, &*hosts[0].source),
        (host, "n-1", "docker")
    );
    assert!((0.0..600.0).contains(&hosts[0].age), "{hosts:?}");

    // One uses half of its own two processors, one a quarter of its host's four.
    for only in [None, Some(herd.id)] {
        let found = loads::clusters(&mut conn, only, 60.0).await.unwrap();
        assert_eq!(found.len(), 1);
        let load = &found[0];
        assert_eq!((load.members, load.active, load.desired, load.measured), (3, 2, 3, 2));
        assert_eq!((load.cpu, load.memory), (Some(37.5), Some(37.5)));
    }
    assert!(
        loads::clusters(&mut conn, Some(ClusterId::random()), 60.0)
            .await
            .unwrap()
            .is_empty()
    );
    let stale = loads::clusters(&mut conn, None, -60.0).await.unwrap();
    assert_eq!((stale[0].measured, stale[0].cpu), (0, None));
    let shares = loads::members(&mut conn, herd.id, 60.0).await.unwrap();
    assert_eq!(shares.len(), 2);
    assert_eq!((shares[&limited], shares[&unlimited]), (25.0, 25.0));

    let newest = loads::newest(&mut conn, herd.id).await.unwrap().unwrap();
    assert!(newest > now, "what counts is when they were placed");
    assert_eq!(loads::newest(&mut conn, ClusterId::random()).await.unwrap(), None);
    yard.db.close().await.unwrap();
}
