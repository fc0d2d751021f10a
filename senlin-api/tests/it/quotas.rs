//! Many requests at once.

use futures_util::future::join_all;
use senlin_api::Settings;
use senlin_core::ids::*;
use senlin_db::{
    child_actions::NewNode,
    idempotency::{Keep, Stored},
    nodes::{self, Adoption},
    profiles::NewProfile,
};
use serde_json::json;

use crate::asked::{count, quiet, settled};

#[tokio::test(flavor = "multi_thread")]
async fn g2_quotas_hold_however_many_ask_at_once() {
    let server = quiet(Settings {
        max_nodes_per_project: 5,
        ..Settings::default()
    })
    .await;
    let accepted = |answers: &[crate::Answer]| {
        for got in answers {
            assert!(
                got.status == 202 || (got.status, got.kind()) == (403, "OverQuota"),
                "{}",
                got.body
            );
        }
        answers.iter().filter(|got| got.status == 202).count()
    };
    let nodes = join_all((0..40).map(|i| {
        let body = json!({"node": {"name": format!("n{i}"), "profile_id": "hp"}});
        server.member("POST", "/v1/nodes", Some(body))
    }));
    assert_eq!(accepted(&nodes.await), 5);
    assert_eq!(count(&server, "SELECT count(*) FROM nodes").await, 5);

    // Clusters count with what they are to have, though no member is there yet.
    server.db.execute("DELETE FROM nodes").await.unwrap();
    let clusters = join_all((0..8).map(|i| {
        let body = json!({"cluster": {"name": format!("c{i}"), "profile_id": "hp", "desired_capacity": 2}});
        server.member("POST", "/v1/clusters", Some(body))
    }));
    assert_eq!(accepted(&clusters.await), 2);

    // So do sizes that were promised and are not there yet.
    server
        .db
        .execute(
            "UPDATE clusters SET desired_capacity = 0;
            INSERT INTO clusters (id, name, profile_id, user_id, project, min_size, max_size, desired_capacity, timeout, status)
            SELECT gen_random_uuid(), 's' || i, p.id, 'member', 'p1', 0, -1, 0, 60, 'ACTIVE'
            FROM profiles p, generate_series(1, 4) i WHERE p.name = 'hp'",
        )
        .await
        .unwrap();
    let bodies = [
        json!({"scale_out": {"count": 2}}),
        json!({"resize": {"adjustment_type": "EXACT_CAPACITY", "number": 2}}),
    ];
    let scaled = join_all((0..4).map(|i| {
        let path = format!("/v1/clusters/s{}/actions", i + 1);
        let body = bodies[i % 2].clone();
        let server = &server;
        async move { server.member("POST", &path, Some(body)).await }
    }));
    assert_eq!(accepted(&scaled.await), 2);
    // An action that ends without having grown its cluster gives the room back.
    settled(&server).await;
    let again = json!({"scale_out": {"count": 5}});
    assert_eq!(
        server
            .member("POST", "/v1/clusters/s1/actions", Some(again))
            .await
            .status,
        202
    );
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g2_adopted_nodes_count_too() {
    let server = quiet(Settings::default()).await;
    let adopted = join_all((0..12).map(|i| {
        let db = server.db.db.clone();
        async move {
            let profile = NewProfile {
                id: ProfileId::random(),
                name: format!("p{i}"),
                type_name: "x-1".to_owned(),
                spec: json!({"type": "x", "version": "1", "properties": {}}),
                user: "member".to_owned(),
                project: "p1".to_owned(),
                domain: None,
                metadata: senlin_core::Map::new(),
                host_node: None,
                host_cluster: None,
            };
            let node = NewNode {
                id: NodeId::random(),
                name: format!("n{i}"),
                cluster_id: None,
                profile_id: profile.id,
                user: "member".to_owned(),
                project: "p1".to_owned(),
                domain: None,
                index: -1,
                role: None,
                metadata: senlin_core::Map::new(),
            };
            let adoption = Adoption {
                physical_id: format!("id{i}"),
                place: None,
                info: None,
            };
            let answer = |_: &senlin_core::node::Node| Stored {
                status: 200,
                location: None,
                body: json!(null),
            };
            let keep = Keep::new(None, &answer);
            let mut conn = db.session();
            nodes::adopt(&mut conn, &profile, &node, &adoption, 5, &keep)
                .await
                .unwrap()
                .is_ok()
        }
    }));
    assert_eq!(adopted.await.into_iter().filter(|done| *done).count(), 5);
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g5_a_profile_that_goes_while_it_is_used_is_no_error_of_ours() {
    let server = quiet(Settings {
        max_clusters_per_project: 1000,
        ..Settings::default()
    })
    .await;
    let rounds = join_all((0..32).map(|i| {
        let server = &server;
        async move {
            let spec = json!({"type": "host.dockerinc.engine", "version": "1.0",
                "properties": {"endpoints": [{"url": format!("sim://{i}")}]}});
            let body = json!({"profile": {"name": format!("p{i}"), "spec": spec}});
            let made = server.member("POST", "/v1/profiles", Some(body)).await;
            assert_eq!(made.status, 201, "{}", made.body);
            let profile = format!("p{i}");
            let (path, node, cluster) = (
                format!("/v1/profiles/{profile}"),
                json!({"node": {"name": "n", "profile_id": profile}}),
                json!({"cluster": {"name": "c", "profile_id": profile}}),
            );
            let got = tokio::join!(
                server.member("POST", "/v1/nodes", Some(node)),
                server.member("DELETE", &path, None),
                server.member("POST", "/v1/clusters", Some(cluster)),
            );
            [got.0, got.1, got.2]
        }
    }));
    for got in rounds.await.into_iter().flatten() {
        assert!(
            matches!(got.status, 202 | 204 | 400 | 409),
            "{}: {}",
            got.status,
            got.body
        );
    }
    // The same without chance: it goes after it was read, before it is used.
    server
        .db
        .execute(
            "CREATE FUNCTION gone() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN NEW.profile_id = gen_random_uuid(); RETURN NEW; END $$;
            CREATE TRIGGER gone BEFORE INSERT ON nodes FOR EACH ROW EXECUTE FUNCTION gone();
            CREATE TRIGGER gone BEFORE INSERT ON clusters FOR EACH ROW EXECUTE FUNCTION gone()",
        )
        .await
        .unwrap();
    for (path, body) in [
        ("/v1/nodes", json!({"node": {"name": "n", "profile_id": "hp"}})),
        ("/v1/clusters", json!({"cluster": {"name": "c", "profile_id": "hp"}})),
    ] {
        let got = server.member("POST", path, Some(body)).await;
        assert_eq!(got.status, 400, "{path}: {}", got.body);
        assert!(got.message().starts_with("The specified profile"), "{}", got.message());
    }
    server.close().await;
}
