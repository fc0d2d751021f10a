//! Bad input → status and message; nothing is left behind.

use serde_json::json;

use crate::Server;

/// A map of so many levels.
fn nested(levels: usize) -> serde_json::Value {
    (0..levels).fold(json!({}), |inner, _| json!({"a": inner}))
}

#[tokio::test(flavor = "multi_thread")]
async fn names_the_field_and_the_rule() {
    let server = Server::start().await;
    server.with_hosts().await;
    assert_eq!(server.container_profile("web").await.status, 201);
    let counts = "SELECT (SELECT count(*) FROM clusters) * 10000 + (SELECT count(*) FROM nodes) * 100 + \
                  (SELECT count(*) FROM profiles)";
    let before = server.db.count(counts).await.unwrap();
    let docker = |properties: serde_json::Value| {
        json!({"profile": {"name": "bad", "spec": {"type": "container.dockerinc.docker", "version": "1.1",
            "properties": properties}}})
    };
    let id = "11111111-2222-3333-4444-555555555555";
    let table = [
        (
            "POST",
            "/v1/profiles",
            json!({}),
            400,
            "Request body missing 'profile' key.",
        ),
        (
            "POST",
            "/v1/clusters/nope/actions",
            json!({"recover": {"k1": "v1"}}),
            404,
            "The cluster 'nope' could not be found.",
        ),
        (
            "POST",
            "/v1/clusters/hosts/actions",
            json!({"recover": {"k1": "v1"}}),
            400,
            "Action parameter k1 is not recognizable.",
        ),
        (
            "PATCH",
            "/v1/clusters/hosts",
            json!({"cluster": {"metadata": nested(40)}}),
            400,
            "Maps and lists may be nested 32 levels deep; 'cluster' of the body has more.",
        ),
        (
            "PATCH",
            "/v1/clusters/hosts",
            json!({"cluster": {"metadata": nested(40).to_string()}}),
            400,
            "is not a map",
        ),
        (
            "PATCH",
            "/v1/clusters/hosts",
            json!({"cluster": {"metadata": r#"{"a": "\u0000"}"#}}),
            400,
            "is not a map",
        ),
        (
            "POST",
            "/v1/profiles",
            json!({"profile": {"spec": {}}}),
            400,
            "'name' is a required property",
        ),
        (
            "POST",
            "/v1/profiles",
            json!({"profile": {"name": "a b", "spec": {}}}),
            400,
            "illegal character",
        ),
        (
            "POST",
            "/v1/profiles",
            json!({"profile": {"name": "x", "spec": {}, "oops": 1}}),
            400,
            "Additional properties are not allowed ('oops' was unexpected)",
        ),
        (
            "POST",
            "/v1/profiles",
            json!({"profile": {"name": "x", "spec": {"type": "nope", "version": "1.0"}}}),
            404,
            "The profile_type 'nope-1.0' could not be found.",
        ),
        (
            "POST",
            "/v1/profiles",
            json!({"profile": {"name": "x", "spec": {"type": "nope"}}}),
            400,
            "'version' key",
        ),
        (
            "POST",
            "/v1/profiles",
            docker(json!({"host_cluster": "hosts"})),
            400,
            "Failed in creating profile bad: Required spec item 'image' not provided",
        ),
        (
            "POST",
            "/v1/profiles",
            docker(json!({"image": "x", "host_cluster": "hosts", "bogus": 1})),
            400,
            "Failed in creating profile bad: Unrecognizable spec item 'bogus'",
        ),
        (
            "POST",
            "/v1/profiles",
            docker(json!({"image": "x", "host_cluster": "hosts", "cpu": "fast"})),
            400,
            "The value 'fast' of item 'cpu' is not a number",
        ),
        (
            "POST",
            "/v1/profiles",
            docker(json!({"image": "x"})),
            400,
            "At least one of 'host_node' and 'host_cluster' must be specified",
        ),
        (
            "POST",
            "/v1/profiles",
            docker(json!({"image": "x", "host_cluster": "nowhere"})),
            400,
            "The specified host_cluster 'nowhere' could not be found.",
        ),
        (
            "POST",
            "/v1/profiles",
            docker(json!({"image": "x", "host_node": "nowhere"})),
            400,
            "The specified host_node 'nowhere' could not be found.",
        ),
        (
            "POST",
            "/v1/profiles",
            docker(json!({"image": "x", "host_cluster": "hosts", "cap_add": ["SYS_ADMIN"]})),
            400,
            "Capability 'SYS_ADMIN' in 'cap_add' is not allowed here",
        ),
        (
            "POST",
            "/v1/profiles",
            docker(json!({"image": "x", "host_cluster": "hosts", "privileged": true})),
            400,
            "Unrecognizable spec item 'privileged'",
        ),
        (
            "POST",
            "/v1/clusters",
            json!({"cluster": {"name": "c", "profile_id": id}}),
            400,
            "The specified profile '11111111-2222-3333-4444-555555555555' could not be found.",
        ),
        (
            "POST",
            "/v1/clusters",
            json!({"cluster": {"name": "c"}}),
            400,
            "'profile_id' is a required property",
        ),
        (
            "POST",
            "/v1/clusters",
            json!({"cluster": {"name": "c", "profile_id": "web", "desired_capacity": 2, "min_size": 5}}),
            400,
            "The target capacity (2) is less than the specified min_size (5).",
        ),
        (
            "POST",
            "/v1/clusters",
            json!({"cluster": {"name": "c", "profile_id": "web", "min_size": "many"}}),
            400,
            "The value for min_size must be an integer: 'many'.",
        ),
        (
            "POST",
            "/v1/clusters",
            json!({"cluster": {"name": "c", "profile_id": "web", "max_size": 1001}}),
            400,
            "Value must be <= 1000 for field 'max_size'.",
        ),
        (
            "POST",
            "/v1/clusters/hosts/actions",
            json!({}),
            400,
            "No action specified",
        ),
        (
            "POST",
            "/v1/clusters/hosts/actions",
            json!({"check": {}, "recover": {}}),
            400,
            "Multiple actions specified",
        ),
        (
            "POST",
            "/v1/clusters/hosts/actions",
            json!({"bogus": {}}),
            400,
            "Unrecognized action 'bogus' specified",
        ),
        (
            "POST",
            "/v1/clusters/hosts/actions",
            json!({"check": 1}),
            400,
            "The data provided is not a map",
        ),
        (
            "POST",
            "/v1/clusters/hosts/actions",
            json!({"add_nodes": {"nodes": []}}),
            400,
            "Value for 'nodes' must have at least 1 item(s).",
        ),
        (
            "POST",
            "/v1/clusters/hosts/actions",
            json!({"add_nodes": {"nodes": ["a", "b", "a"]}}),
            400,
            "Items for 'nodes' must be unique",
        ),
        (
            "POST",
            "/v1/clusters/hosts/actions",
            json!({"add_nodes": {"nodes": ["nobody"]}}),
            400,
            "Nodes not found",
        ),
        (
            "POST",
            "/v1/clusters/hosts/actions",
            json!({"scale_out": {"count": 0}}),
            400,
            "Count for scale-in/out request cannot be 0.",
        ),
        (
            "POST",
            "/v1/clusters/hosts/actions",
            json!({"resize": {"adjustment_type": "EXACT_CAPACITY"}}),
            400,
            "Missing number value for size adjustment.",
        ),
        (
            "POST",
            "/v1/clusters/hosts/actions",
            json!({"replace_nodes": {"nodes": {"old_node": null}}}),
            400,
            "Field `nodes[old_node]' cannot be None",
        ),
        (
            "POST",
            "/v1/clusters/hosts/actions",
            json!({"del_nodes": {"nodes": ["x"], "destroy_after_deletion": "no way"}}),
            400,
            "Unrecognized value 'no way', acceptable values are: '0', '1', 'f', 'false', 'n', 'no', 'off', 'on', \
                  't', 'true', 'y', 'yes'",
        ),
        (
            "POST",
            "/v1/clusters/nowhere/actions",
            json!({"check": {}}),
            404,
            "The cluster 'nowhere' could not be found.",
        ),
        (
            "POST",
            "/v1/clusters/hosts/ops",
            json!({"dance": {}}),
            400,
            "The requested operation 'dance' is not supported",
        ),
        (
            "POST",
            "/v1/nodes",
            json!({"node": {"name": "n", "profile_id": "nope"}}),
            400,
            "The specified profile 'nope' could not be found.",
        ),
        (
            "POST",
            "/v1/nodes",
            json!({"node": {"name": "n", "profile_id": "web", "cluster_id": "hosts"}}),
            400,
            "Node and cluster have different profile type, operation aborted.",
        ),
        (
            "POST",
            "/v1/nodes/adopt",
            json!({"identity": "x"}),
            400,
            "'type' is a required property",
        ),
        (
            "PATCH",
            "/v1/profiles/web",
            json!({"profile": {"name": "web"}}),
            400,
            "No property needs an update.",
        ),
        (
            "PATCH",
            "/v1/clusters/hosts",
            json!({"cluster": {}}),
            400,
            "No property needs an update.",
        ),
    ];
    for (method, path, body, status, message) in table {
        let answer = server.member(method, path, Some(body.clone())).await;
        assert_eq!(answer.status, status, "{method} {path} {body}: {}", answer.body);
        assert!(
            answer.message().contains(message),
            "{method} {path} {body}: {}",
            answer.message()
        );
        assert!(answer.headers.contains_key("x-openstack-request-id"));
    }
    assert_eq!(
        server.db.count(counts).await.unwrap(),
        before,
        "nothing was left behind"
    );
    for (path, status, message) in [
        ("/v1/clusters?bogus=1", 400, "Invalid parameter 'bogus'"),
        ("/v1/nodes?bogus=1", 400, "Invalid parameter bogus"),
        (
            "/v1/nodes?limit=not-int",
            400,
            "The value for limit must be an integer: 'not-int'.",
        ),
        (
            "/v1/nodes?marker=bad-marker",
            400,
            "The value for marker is not a valid UUID: 'bad-marker'.",
        ),
        (
            "/v1/nodes?sort=bad-sort",
            400,
            "Unsupported sort key 'bad-sort' for 'sort'.",
        ),
        (
            "/v1/nodes?global_project=not-bool",
            400,
            "Invalid value 'not-bool' specified for 'global_project'",
        ),
        (
            "/v1/nodes?global_project=true",
            403,
            "You are not authorized to complete this operation.",
        ),
        ("/v1/clusters?status=bad", 400, "Field value bad is invalid"),
        (
            "/v1/nodes?cluster_id=nowhere",
            400,
            "Cannot find the given cluster: nowhere.",
        ),
        ("/v1/nonsense", 404, "The path or method is not known."),
        (
            "/v1/services",
            403,
            "You are not authorized to complete this operation.",
        ),
    ] {
        let answer = server.member("GET", path, None).await;
        assert_eq!((answer.status, answer.message()), (status, message), "{path}");
    }
    server.close().await;
}
