//! Requests do what was asked, once, and nothing else.

use std::time::Duration;

use futures_util::future::join_all;
use senlin_api::Settings;
use senlin_core::{caller::Scope, ids::*, seal::Sealer};
use senlin_db::{
    DbError,
    idempotency::{self, Begun, Claim, Keep, Stored},
    nodes::{self, Adoption},
    profiles::{self, NewProfile},
    spawn::NewNode,
};
use serde_json::{Value, json};

use crate::Server;

/// A server with a cluster `hosts`, with nothing under way.
async fn quiet(settings: Settings) -> Server {
    let server = Server::with(settings).await;
    server.with_hosts().await;
    settled(&server).await;
    server
}

async fn settled(server: &Server) {
    server
        .db
        .execute("UPDATE actions SET status = 'SUCCEEDED'")
        .await
        .unwrap();
}

async fn count(server: &Server, query: &str) -> i64 {
    server.db.count(query).await.unwrap()
}

/// A node of the project p1 in the cluster of that name, with the cluster's profile.
async fn member(server: &Server, id: &str, name: &str, cluster: &str) {
    let insert = format!(
        "INSERT INTO nodes (id, name, cluster_id, profile_id, user_id, project, status, index)
        SELECT '{id}', '{name}', id, profile_id, 'member', 'p1', 'ACTIVE', 1 FROM clusters WHERE name = '{cluster}'"
    );
    server.db.execute(&insert).await.unwrap();
}

const THREE: &str = "3aaaaaaa-0000-4000-8000-000000000001";

#[tokio::test(flavor = "multi_thread")]
async fn d1_a_text_is_not_a_list_of_names() {
    let server = quiet(Settings::default()).await;
    member(&server, THREE, "h1", "hosts").await;
    let before = count(&server, "SELECT count(*) FROM actions").await;
    for verb in ["del_nodes", "add_nodes"] {
        for (nodes, kind) in [
            (json!("3"), "A list is required in field nodes, not a str"),
            (json!({"3": "x"}), "A list is required in field nodes, not a dict"),
            (json!(3), "A list is required in field nodes, not a int"),
            (json!([3]), "A string is required in field nodes, not a int"),
            (json!([["3"]]), "A string is required in field nodes, not a list"),
        ] {
            let body = json!({verb: {"nodes": nodes}});
            let got = server
                .member("POST", "/v1/clusters/hosts/actions", Some(body.clone()))
                .await;
            assert_eq!((got.status, got.message()), (400, kind), "{body}: {}", got.body);
        }
    }
    // A filter that cannot be read does not mean every member.
    assert_eq!(server.container_profile("web").await.status, 201);
    let body = json!({"cluster": {"name": "web", "profile_id": "web"}});
    assert_eq!(server.member("POST", "/v1/clusters", Some(body)).await.status, 202);
    for (filters, message) in [
        (
            json!("status=ERROR"),
            "The value '\"status=ERROR\"' of 'filters' is not a map.",
        ),
        (
            json!({"status": ["ERROR"]}),
            "The value '[\"ERROR\"]' of the filter 'status' is not a string.",
        ),
    ] {
        let body = json!({"restart": {"params": {}, "filters": filters}});
        let got = server.member("POST", "/v1/clusters/web/ops", Some(body)).await;
        assert_eq!((got.status, got.message()), (400, message), "{}", got.body);
    }
    assert_eq!(
        count(&server, "SELECT count(*) FROM actions").await,
        before + 1,
        "only the cluster's creation was recorded"
    );
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d3_dependents_are_bounded_and_found_by_an_index() {
    let server = quiet(Settings::default()).await;
    member(&server, THREE, "h1", "hosts").await;
    server
        .db
        .execute(&format!(
            "INSERT INTO profiles (id, name, type, spec, user_id, project, host_cluster_id, host_node_id)
            SELECT gen_random_uuid(), 'p' || i, 'x-1', '{{}}', 'u', 'p1', c.id, '{THREE}'
            FROM clusters c, generate_series(1, 5000) i WHERE c.name = 'hosts'"
        ))
        .await
        .unwrap();
    server.db.execute("VACUUM ANALYZE profiles").await.unwrap();
    for (path, pointer) in [
        ("/v1/clusters/hosts", "/cluster/dependents/profiles"),
        ("/v1/clusters", "/clusters/0/dependents/profiles"),
        ("/v1/nodes/h1", "/node/dependents/profiles"),
    ] {
        let got = server.member("GET", path, None).await;
        let shown = got.body.pointer(pointer).and_then(Value::as_array).map(Vec::len);
        assert_eq!(shown, Some(100), "{path}");
    }
    for (column, index) in [
        ("host_cluster_id", "profiles_host_cluster_id_id_idx"),
        ("host_node_id", "profiles_host_node_id_id_idx"),
    ] {
        let explain = format!(
            "EXPLAIN SELECT ARRAY(SELECT d.id FROM profiles d WHERE d.{column} = t.id ORDER BY d.id LIMIT 100) FROM nodes t"
        );
        let plan = server.db.column(&explain).await.unwrap().join("\n");
        assert!(plan.contains(&format!("Index Only Scan using {index}")), "{plan}");
    }
    let refused = server.member("DELETE", "/v1/clusters/hosts", None).await;
    assert_eq!((refused.status, refused.kind()), (409, "ResourceInUse"));
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn e4_a_profile_that_asks_for_another_host_is_refused() {
    let server = quiet(Settings::default()).await;
    member(&server, THREE, "h1", "hosts").await;
    server
        .db
        .execute(&format!(
            "INSERT INTO hosts (node_id, endpoint, state, info) VALUES ('{THREE}', 'sim://h1', 'UP',
                '{{\"engine_version\": \"1\", \"api_version\": \"1.41\", \"hostname\": \"h\", \"os\": \"linux\",
                \"arch\": \"x\", \"cpus\": 4, \"memory\": 4, \"labels\": {{\"disk\": \"ssd\"}}}}')"
        ))
        .await
        .unwrap();
    let body = json!({"cluster": {"name": "elsewhere", "profile_id": "hp"}});
    assert_eq!(server.member("POST", "/v1/clusters", Some(body)).await.status, 202);
    assert_eq!(server.container_profile("web").await.status, 201);
    for (name, place) in [
        ("moved", json!({"host_cluster": "elsewhere"})),
        (
            "other",
            json!({"host_cluster": "hosts", "host_labels": {"disk": "tape"}}),
        ),
        ("fits", json!({"host_cluster": "hosts", "host_labels": {"disk": "ssd"}})),
    ] {
        let mut properties = json!({"image": "busybox"});
        properties
            .as_object_mut()
            .unwrap()
            .extend(place.as_object().unwrap().clone());
        let spec = json!({"type": "container.dockerinc.docker", "version": "1.1", "properties": properties});
        let body = json!({"profile": {"name": name, "spec": spec}});
        let made = server.member("POST", "/v1/profiles", Some(body)).await;
        assert_eq!(made.status, 201, "{}", made.body);
    }
    let body = json!({"cluster": {"name": "c", "profile_id": "web"}});
    assert_eq!(server.member("POST", "/v1/clusters", Some(body)).await.status, 202);
    settled(&server).await;
    member(&server, "4aaaaaaa-0000-4000-8000-000000000001", "n1", "c").await;
    server
        .db
        .execute(&format!("UPDATE nodes SET host_id = '{THREE}' WHERE name = 'n1'"))
        .await
        .unwrap();
    for (name, why) in [
        ("moved", "its host 'h1' is not in the profile's host_cluster"),
        ("other", "its host 'h1' does not carry the label 'disk=tape'"),
    ] {
        for (path, key) in [("/v1/nodes/n1", "node"), ("/v1/clusters/c", "cluster")] {
            let got = server
                .member("PATCH", path, Some(json!({key: {"profile_id": name}})))
                .await;
            assert_eq!(got.status, 400, "{path} {name}: {}", got.body);
            assert!(got.message().contains(why), "{path} {name}: {}", got.message());
        }
    }
    let fits = json!({"node": {"profile_id": "fits"}});
    assert_eq!(server.member("PATCH", "/v1/nodes/n1", Some(fits)).await.status, 202);
    // Members to come may go elsewhere.
    let only = json!({"cluster": {"profile_id": "moved", "profile_only": true}});
    let got = server.member("PATCH", "/v1/clusters/c", Some(only)).await;
    assert_eq!(got.status, 202, "{}", got.body);
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b7_a_list_is_sorted_by_a_few_keys() {
    let server = Server::start().await;
    let thousands = vec!["name"; 1500].join(",");
    for (sort, message) in [
        (
            thousands.as_str(),
            "The sort key 'name' for 'sort' is named more than once.",
        ),
        (
            "name:asc,name:desc",
            "The sort key 'name' for 'sort' is named more than once.",
        ),
        (
            "name,status,init_at,created_at,updated_at",
            "At most 4 sort keys are allowed for 'sort'.",
        ),
    ] {
        let path = format!("/v1/nodes?marker={THREE}&sort={sort}");
        let got = server.member("GET", &path, None).await;
        assert_eq!((got.status, got.message()), (400, message), "{sort:.60}");
    }
    let fine = server
        .member("GET", "/v1/nodes?sort=name,status:desc,init_at,created_at", None)
        .await;
    assert_eq!(fine.status, 200, "{}", fine.body);
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g13_a_marker_of_another_project_is_unknown() {
    let server = Server::start().await;
    server
        .db
        .execute(&format!(
            "INSERT INTO profiles (id, name, type, spec, user_id, project) VALUES
            (gen_random_uuid(), 'a', 'x-1', '{{\"type\": \"x\", \"version\": \"1\", \"properties\": {{}}}}', 'u', 'p1'),
            ('{THREE}', 'b', 'x-1', '{{\"type\": \"x\", \"version\": \"1\", \"properties\": {{}}}}', 'u', 'p2'),
            (gen_random_uuid(), 'c', 'x-1', '{{\"type\": \"x\", \"version\": \"1\", \"properties\": {{}}}}', 'u', 'p1')"
        ))
        .await
        .unwrap();
    let listed = async |token: &str, query: &str| {
        let path = format!("/v1/profiles?sort=name{query}");
        let got = server.call(token, "1.14", "GET", &path, None).await;
        assert_eq!(got.status, 200, "{}", got.body);
        let names = got.body["profiles"].as_array().unwrap().iter();
        names
            .map(|p| p["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let nobody = "&marker=11111111-2222-3333-4444-555555555555";
    let foreign = format!("&marker={THREE}");
    assert_eq!(listed("member", nobody).await, ["a", "c"]);
    assert_eq!(listed("member", &foreign).await, ["a", "c"]);
    assert_eq!(
        listed("admin", &foreign).await,
        ["c"],
        "one's own, or an admin's, still leads on"
    );
    server.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn b8_a_name_format_is_checked_where_it_is_set() {
    let server = quiet(Settings::default()).await;
    let wide = "\u{7f51}".repeat(300);
    for (format, rule) in [
        (json!("$500I"), "must have numbers of 1 to 64 only between '$' and 'I'"),
        (json!(wide), "must have at most 128 characters"),
        (json!(7), "must be a text"),
    ] {
        let config = json!({"node.name.format": format});
        let create = json!({"cluster": {"name": "c", "profile_id": "hp", "config": config}});
        for (method, path, body) in [
            ("POST", "/v1/clusters", create),
            ("PATCH", "/v1/clusters/hosts", json!({"cluster": {"config": config}})),
        ] {
            let got = server.member(method, path, Some(body)).await;
            let message = format!("The value of 'node.name.format' in 'config' {rule}.");
            assert_eq!(
                (got.status, got.message()),
                (400, message.as_str()),
                "{method} {format}"
            );
        }
    }
    // One from before the rule makes a name all the same.
    server
        .db
        .execute(&format!(
            "UPDATE clusters SET config = '{{\"node.name.format\": \"{wide}\"}}'"
        ))
        .await
        .unwrap();
    let body = json!({"node": {"name": "n", "profile_id": "hp", "cluster_id": "hosts"}});
    let made = server.member("POST", "/v1/nodes", Some(body)).await;
    assert_eq!(made.status, 202, "{}", made.body);
    assert_eq!(made.text("/node/name").chars().count(), 255);
    server.close().await;
}

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
                host: None,
                info: None,
            };
            let answer = |_: &senlin_core::node::Node| stored(200);
            let keep = Keep::new(None, &answer);
            let mut conn = db.get().await.unwrap();
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

#[tokio::test(flavor = "multi_thread")]
async fn g14_a_request_names_so_many_nodes_and_no_more() {
    let server = quiet(Settings::default()).await;
    let many = |n: usize| (0..n).map(|i| format!("n{i}")).collect::<Vec<_>>();
    for (verb, nodes) in [
        ("del_nodes", json!(many(1001))),
        ("add_nodes", json!(many(1001))),
        (
            "replace_nodes",
            many(1001)
                .into_iter()
                .map(|n| (n.clone(), json!(n)))
                .collect::<senlin_core::Map>()
                .into(),
        ),
    ] {
        let body = json!({verb: {"nodes": nodes}});
        let got = server.member("POST", "/v1/clusters/hosts/actions", Some(body)).await;
        assert_eq!(
            (got.status, got.message()),
            (400, "Value for 'nodes' must have at most 1000 item(s)."),
            "{verb}"
        );
    }
    // As many as may be named are found by name, id and short id; of two that
    // could be meant none is.
    member(&server, THREE, "h1", "hosts").await;
    member(&server, "3aaaaaab-0000-4000-8000-000000000001", "h2", "hosts").await;
    let mut conn = server.db.db.get().await.unwrap();
    let names = ["h1", THREE, "3aaaaaaa", "3aaaaaa", "nobody"].map(str::to_owned);
    let found = async |conn: &mut _, scope: &Scope| {
        let found = nodes::find_all(conn, scope, &names).await.unwrap();
        found.into_iter().map(|n| n.map(|n| n.name)).collect::<Vec<_>>()
    };
    let h1 = Some("h1".to_owned());
    let mine = [h1.clone(), h1.clone(), h1, None, None];
    assert_eq!(found(&mut conn, &Scope::Project("p1".to_owned())).await, mine);
    assert_eq!(found(&mut conn, &Scope::All).await, mine);
    assert_eq!(
        found(&mut conn, &Scope::Project("p2".to_owned())).await,
        [const { None }; 5]
    );
    drop(conn);
    server.close().await;
}

fn stored(status: u16) -> Stored {
    Stored {
        status,
        location: None,
        body: json!({"n": 1}),
    }
}

async fn post(server: &Server, token: &str, path: &str, key: &str, body: Value) -> crate::Answer {
    let headers = [("Idempotency-Key", key)];
    server
        .call_with(token, "1.15", "POST", path, Some(body), &headers)
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn g4_a_key_is_its_users_and_holds_no_secret_in_the_clear() {
    let server = quiet(Settings::default()).await;
    let body = json!({"receiver": {"name": "r", "type": "webhook", "cluster_id": "hosts",
        "action": "CLUSTER_SCALE_OUT"}});
    let first = post(&server, "member", "/v1/receivers", "k", body.clone()).await;
    assert_eq!(first.status, 201, "{}", first.body);
    let door = first.text("/receiver/channel/alarm_url");
    let (_, key) = door.split_once("key=").unwrap();
    // Another member of the project asks in their own name, and is refused as ever.
    let stranger = post(&server, "second", "/v1/receivers", "k", body.clone()).await;
    assert_eq!(stranger.status, 403, "{}", stranger.body);
    // One whose rights do not reach the operation is refused before any key is looked at.
    assert_eq!(
        post(&server, "reader", "/v1/receivers", "k", body.clone()).await.status,
        403
    );
    let again = post(&server, "member", "/v1/receivers", "k", body).await;
    assert_eq!((again.status, &again.body), (201, &first.body));
    let rows = server
        .db
        .column("SELECT k::text FROM idempotency_keys k")
        .await
        .unwrap();
    assert_eq!(rows.len(), 2, "one of each user who has the right");
    assert!(!rows.concat().contains(key), "b11: {rows:?}");
    server.close().await;
}

/// Everything that a POST makes is there together with its answer, or not at all.
#[tokio::test(flavor = "multi_thread")]
async fn a8_an_answer_that_cannot_be_kept_undoes_the_work() {
    let server = quiet(Settings::default()).await;
    member(&server, THREE, "h1", "hosts").await;
    let spec =
        json!({"type": "host.dockerinc.engine", "version": "1.0", "properties": {"endpoints": [{"url": "sim://z"}]}});
    let policy = json!({"type": "senlin.policy.deletion", "version": "1.1", "properties": {}});
    let requests = [
        (
            "profiles",
            "/v1/profiles",
            json!({"profile": {"name": "p", "spec": spec}}),
            201,
        ),
        (
            "policies",
            "/v1/policies",
            json!({"policy": {"name": "p", "spec": policy}}),
            201,
        ),
        (
            "clusters",
            "/v1/clusters",
            json!({"cluster": {"name": "c", "profile_id": "hp"}}),
            202,
        ),
        (
            "nodes",
            "/v1/nodes",
            json!({"node": {"name": "n", "profile_id": "hp"}}),
            202,
        ),
        (
            "receivers",
            "/v1/receivers",
            json!({"receiver": {"name": "r", "type": "webhook", "cluster_id": "hosts", "action": "CLUSTER_CHECK"}}),
            201,
        ),
        ("actions", "/v1/clusters/hosts/actions", json!({"check": {}}), 202),
        ("actions", "/v1/nodes/h1/actions", json!({"check": {}}), 202),
    ];
    let sabotage = "CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'no answer is kept'; END $$;
        CREATE TRIGGER no BEFORE UPDATE ON idempotency_keys FOR EACH ROW EXECUTE FUNCTION no()";
    server.db.execute(sabotage).await.unwrap();
    for (i, (table, path, body, _)) in requests.iter().enumerate() {
        let all = format!("SELECT count(*) FROM {table}");
        let had = count(&server, &all).await;
        let got = post(&server, "member", path, &format!("k{i}"), body.clone()).await;
        assert_eq!(got.status, 500, "{path}: {}", got.body);
        assert_eq!(count(&server, &all).await, had, "{path}: nothing was done");
    }
    server.db.execute("DROP TRIGGER no ON idempotency_keys").await.unwrap();
    for (i, (table, path, body, status)) in requests.iter().enumerate() {
        let all = format!("SELECT count(*) FROM {table}");
        let had = count(&server, &all).await;
        for turn in 0..2 {
            let got = post(&server, "member", path, &format!("k{i}"), body.clone()).await;
            assert_eq!(got.status, *status, "{path} {turn}: {}", got.body);
        }
        assert_eq!(count(&server, &all).await, had + 1, "{path}: once");
    }
    server.close().await;
}

/// What fails after the insertion fails before the commit: a repeat makes one.
#[tokio::test(flavor = "multi_thread")]
async fn a8_a_failure_after_the_insertion_leaves_no_second_object() {
    let server = quiet(Settings::default()).await;
    let sabotage = "ALTER TABLE clusters DROP CONSTRAINT clusters_status_check;
        CREATE FUNCTION odd() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN NEW.status = 'UNREADABLE'; RETURN NEW; END $$;
        CREATE TRIGGER odd BEFORE INSERT ON clusters FOR EACH ROW EXECUTE FUNCTION odd()";
    server.db.execute(sabotage).await.unwrap();
    let body = json!({"cluster": {"name": "c", "profile_id": "hp"}});
    let broken = post(&server, "member", "/v1/clusters", "k", body.clone()).await;
    assert_eq!(broken.status, 500, "{}", broken.body);
    server.db.execute("DROP TRIGGER odd ON clusters").await.unwrap();
    let again = post(&server, "member", "/v1/clusters", "k", body).await;
    assert_eq!(again.status, 202, "{}", again.body);
    assert_eq!(
        count(&server, "SELECT count(*) FROM clusters WHERE name = 'c'").await,
        1
    );
    assert_eq!(
        count(&server, "SELECT count(*) FROM actions WHERE status = 'READY'").await,
        1
    );
    server.close().await;
}

/// A server that dies between the commit and its answer has answered, and one
/// that died before the commit has done nothing, even if it comes back.
#[tokio::test(flavor = "multi_thread")]
async fn a8_a_repeat_after_the_commit_gets_the_answer_that_was_lost() {
    let server = quiet(Settings::default()).await;
    let claim = |key: &str| Claim {
        project: "p1".to_owned(),
        user: "member".to_owned(),
        key: key.to_owned(),
        token: uuid::Uuid::new_v4(),
        sealer: Sealer::new(&Sealer::generate_key()).unwrap(),
    };
    let profile = |name: &str| NewProfile {
        id: ProfileId::random(),
        name: name.to_owned(),
        type_name: "x-1".to_owned(),
        spec: json!({"type": "x", "version": "1", "properties": {}}),
        user: "member".to_owned(),
        project: "p1".to_owned(),
        domain: None,
        metadata: senlin_core::Map::new(),
        host_node: None,
        host_cluster: None,
    };
    let answer = |_: &senlin_core::profile::Profile| stored(201);
    let mut conn = server.db.db.get().await.unwrap();
    let first = claim("k");
    assert_eq!(idempotency::begin(&mut conn, &first, "f").await.unwrap(), Begun::New);
    let keep = Keep::new(Some(&first), &answer);
    profiles::create(&mut conn, &profile("once"), &keep).await.unwrap();
    // The answer is lost here; not even an error after it takes the key back.
    idempotency::forget(&mut conn, &first).await.unwrap();
    let repeat = Claim {
        token: uuid::Uuid::new_v4(),
        ..first.clone()
    };
    let begun = idempotency::begin(&mut conn, &repeat, "f").await.unwrap();
    assert_eq!(begun, Begun::Answered(stored(201)));

    // Begun and cut off: under way for a while, then anybody's who repeats it.
    let slow = claim("slow");
    assert_eq!(idempotency::begin(&mut conn, &slow, "f").await.unwrap(), Begun::New);
    let repeat = Claim {
        token: uuid::Uuid::new_v4(),
        ..slow.clone()
    };
    assert_eq!(
        idempotency::begin(&mut conn, &repeat, "f").await.unwrap(),
        Begun::Unanswered
    );
    assert_eq!(idempotency::begin(&mut conn, &repeat, "g").await.unwrap(), Begun::Other);
    server
        .db
        .execute("UPDATE idempotency_keys SET begun_at = now() - interval '2 minutes' WHERE key = 'slow'")
        .await
        .unwrap();
    assert_eq!(idempotency::begin(&mut conn, &repeat, "f").await.unwrap(), Begun::New);
    // The slow one wakes up: what it does is not committed.
    let late = profiles::create(&mut conn, &profile("twice"), &Keep::new(Some(&slow), &answer)).await;
    assert!(matches!(late, Err(DbError::KeyLost)), "{late:?}");
    let keep = Keep::new(Some(&repeat), &answer);
    profiles::create(&mut conn, &profile("twice"), &keep).await.unwrap();
    drop(conn);
    for name in ["once", "twice"] {
        let made = format!("SELECT count(*) FROM profiles WHERE name = '{name}'");
        assert_eq!(count(&server, &made).await, 1, "{name}");
    }
    server.close().await;
}

/// The same over the wire, with two at once: one does it, the other waits or
/// is told the same.
#[tokio::test(flavor = "multi_thread")]
async fn a8_repeats_at_once_make_one() {
    let server = quiet(Settings::default()).await;
    let body = json!({"cluster": {"name": "c", "profile_id": "hp"}});
    let all = join_all((0..12).map(|_| post(&server, "member", "/v1/clusters", "k", body.clone()))).await;
    for got in &all {
        assert!(matches!(got.status, 202 | 409), "{}", got.body);
    }
    assert!(all.iter().any(|got| got.status == 202));
    let answered = senlin_testkit::until("the answer", Duration::from_secs(10), async || {
        let got = post(&server, "member", "/v1/clusters", "k", body.clone()).await;
        anyhow::ensure!(got.status == 202, "{}", got.body);
        Ok(got)
    });
    assert_eq!(answered.await.unwrap().headers["idempotency-replayed"], "true");
    assert_eq!(
        count(&server, "SELECT count(*) FROM clusters WHERE name = 'c'").await,
        1
    );
    server.close().await;
}
