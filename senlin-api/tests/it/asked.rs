//! Requests do what was asked, and nothing else.

use senlin_api::Settings;
use senlin_core::caller::Scope;
use senlin_db::nodes;
use serde_json::{Value, json};

use crate::Server;

/// A server with a cluster `hosts`, with nothing under way.
pub(crate) async fn quiet(settings: Settings) -> Server {
    let server = Server::with(settings).await;
    server.with_hosts().await;
    settled(&server).await;
    server
}

pub(crate) async fn settled(server: &Server) {
    server
        .db
        .execute("UPDATE actions SET status = 'CANCELLED' WHERE status = 'READY'")
        .await
        .unwrap();
}

pub(crate) async fn count(server: &Server, query: &str) -> i64 {
    server.db.count(query).await.unwrap()
}

/// A node of the project p1 in the cluster of that name, with the cluster's profile.
pub(crate) async fn member(server: &Server, id: &str, name: &str, cluster: &str) {
    let insert = format!(
        "INSERT INTO nodes (id, name, cluster_id, profile_id, user_id, project, status, physical_id, index)
        SELECT '{id}', '{name}', id, profile_id, 'member', 'p1', 'ACTIVE', '{id}', 1 FROM clusters WHERE name = '{cluster}'"
    );
    server.db.execute(&insert).await.unwrap();
}

pub(crate) const THREE: &str = "3aaaaaaa-0000-4000-8000-000000000001";

#[tokio::test(flavor = "multi_thread")]
async fn d1_a_text_is_not_a_list_of_names() {
    let server = quiet(Settings::default()).await;
    member(&server, THREE, "h1", "hosts").await;
    let before = count(&server, "SELECT count(*) FROM actions").await;
    for verb in ["del_nodes", "add_nodes"] {
        for (nodes, kind) in [
            (json!("3"), "A list is required in field nodes, not a str"),
            (json!("33"), "Items for 'nodes' must be unique"),
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
    let mut conn = server.db.db.session();
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
    server.close().await;
}
