use senlin_core::profile_type::SpecRules;
use serde_json::{Value, json};

use super::*;

fn validate(kind: &str, properties: Value) -> Result<(), String> {
    let registry = all();
    let kind = registry.find(kind).unwrap();
    let checked = kind.schema().check(properties.as_object().unwrap()).map_err(|e| e.0)?;
    kind.validate(&checked, &SpecRules::default()).map_err(|e| e.0)
}

#[test]
fn version_1_0_is_senlins_schema() {
    let registry = all();
    let shown = registry
        .find("container.dockerinc.docker-1.0")
        .unwrap()
        .schema()
        .to_senlin();
    let expected = json!({
        "context": {"type": "Map", "required": false, "updatable": false,
            "description": "Customized security context for operating containers."},
        "image": {"type": "String", "required": true, "updatable": false,
            "description": "The image used to create a container"},
        "name": {"type": "String", "required": false, "updatable": true, "description": "The name of the container."},
        "command": {"type": "String", "required": false, "updatable": false,
            "description": "The command to run when container is started."},
        "port": {"type": "Integer", "required": false, "updatable": false, "default": 2375,
            "description": "The port number used to connect to docker daemon."},
        "host_node": {"type": "String", "required": false, "updatable": false,
            "description": "The node on which container will be launched."},
        "host_cluster": {"type": "String", "required": false, "updatable": false,
            "description": "The cluster on which container will be launched."},
    });
    assert_eq!(shown, expected);
}

#[test]
fn a_maximal_spec_is_understood() {
    let spec = json!({
        "image": "registry:5000/a/b:1", "pull_policy": "always",
        "registry": {"username": "u", "password": "p", "server": "registry:5000"},
        "name": "web", "command": "sh -c 'echo hi'", "entrypoint": ["/bin/tini", "--"],
        "environment": {"A": "1", "B": 2, "C": true, "D": {"value": "x", "secret": true}},
        "labels": {"a": "b"}, "ports": ["8080:80", "127.0.0.1:9090:90/udp", "70", {"container": 60, "host": 6060}],
        "restart": {"name": "on-failure", "max_retries": 3}, "cpu": 0.5, "memory": "512m", "pids": 100,
        "healthcheck": {"test": "true", "interval": 1, "timeout": 2.5, "start_period": 0, "retries": 3},
        "user": "1000:1000", "working_dir": "/tmp", "hostname": "h", "extra_hosts": ["db:10.0.0.1"],
        "log": {"driver": "json-file", "options": {"max-size": "1m"}}, "stop_signal": "SIGINT",
        "stop_grace_period": 3, "init": true, "read_only": true, "tmpfs": {"/run": "size=1m"},
        "cap_add": ["CAP_CHOWN"], "cap_drop": ["NET_RAW"], "ulimits": [{"name": "nofile", "soft": 10}],
        "host_cluster": "hosts", "host_labels": {"disk": "ssd"}, "strategy": "random",
    });
    let registry = all();
    let kind = registry.find("container.dockerinc.docker-1.1").unwrap();
    let checked = kind.schema().check(spec.as_object().unwrap()).unwrap();
    kind.validate(&checked, &SpecRules::default()).unwrap();
    let parsed = container::parse::parse("1.1", &checked).unwrap();
    assert_eq!(parsed.command.unwrap(), ["sh", "-c", "echo hi"]);
    assert_eq!(parsed.ports.len(), 4);
    assert_eq!(parsed.ports[1].host_ip.as_deref(), Some("127.0.0.1"));
    assert_eq!(parsed.resources.memory, Some(512 << 20));
    let env: Vec<_> = parsed
        .environment
        .iter()
        .map(|(k, v)| format!("{k}={}", v.expose()))
        .collect();
    assert_eq!(env, ["A=1", "B=2", "C=true", "D=x"]);
}

#[test]
fn what_is_forbidden_is_refused_with_the_reason() {
    let base = |extra: Value| {
        let mut spec = json!({"image": "busybox", "host_cluster": "h"});
        spec.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        validate("container.dockerinc.docker-1.1", spec)
    };
    assert_eq!(base(json!({})), Ok(()));
    let table = [
        (json!({"privileged": true}), "Unrecognizable spec item 'privileged'"),
        (json!({"volumes": ["/:/host"]}), "Unrecognizable spec item 'volumes'"),
        (
            json!({"network_mode": "host"}),
            "Unrecognizable spec item 'network_mode'",
        ),
        (json!({"devices": ["/dev/sda"]}), "Unrecognizable spec item 'devices'"),
        (
            json!({"cap_add": ["SYS_ADMIN"]}),
            "Capability 'SYS_ADMIN' in 'cap_add' is not allowed here",
        ),
        (
            json!({"cap_add": ["all"]}),
            "Capability 'ALL' in 'cap_add' is not allowed here",
        ),
        (
            json!({"ports": ["80:80"]}),
            "Host port 80 in 'ports' is below 1024, which is not allowed here",
        ),
        (
            json!({"ports": ["80:80/icmp"]}),
            "'icmp' must be one of the allowed values: tcp, udp, sctp",
        ),
        (
            json!({"ports": ["x"]}),
            "'x' in 'ports' is not [[host_ip:]host:]container[/protocol]",
        ),
        (
            json!({"log": {"driver": "syslog"}}),
            "Log driver 'syslog' is not allowed here",
        ),
        (
            json!({"labels": {"senlin.node": "x"}}),
            "Label 'senlin.node' in 'labels': names that begin with 'senlin.' are this service's own",
        ),
        (
            json!({"memory": "1k"}),
            "Item 'memory' must be at least 6m, which is Docker's own least, not 1024 bytes",
        ),
        (
            json!({"memory": "lots"}),
            "Item 'memory' must be bytes or a text such as 512m, not 'lots'",
        ),
        (json!({"cpu": 0}), "Item 'cpu' must be greater than 0, not 0"),
        (
            json!({"name": "-x"}),
            "'-x' is not a container name: [a-zA-Z0-9][a-zA-Z0-9_.-]*, at most 200 characters",
        ),
        (
            json!({"command": "echo 'oops"}),
            "Item 'command' has a ' that is never closed",
        ),
        (
            json!({"host_cluster": null}),
            "At least one of 'host_node' and 'host_cluster' must be specified",
        ),
        (json!({"image": null}), "Required spec item 'image' not provided"),
        (
            json!({"pull_policy": "sometimes"}),
            "'sometimes' must be one of the allowed values: always, missing, never",
        ),
        (
            json!({"restart": {"name": "maybe"}}),
            "'maybe' must be one of the allowed values: no, always, unless-stopped, on-failure",
        ),
    ];
    for (extra, message) in table {
        assert_eq!(base(extra.clone()).unwrap_err(), message, "{extra}");
    }
}

#[test]
fn hosts_need_a_safe_way_to_be_reached() {
    let one = |endpoint: Value| validate("host.dockerinc.engine-1.0", json!({"endpoints": [endpoint]}));
    assert_eq!(one(json!({"url": "unix:///run/docker.sock"})), Ok(()));
    assert_eq!(one(json!({"url": "ssh://root@host"})), Ok(()));
    assert_eq!(
        one(json!({"url": "tcp://10.0.0.1:2375", "allow_insecure": true})),
        Ok(())
    );
    assert!(
        one(json!({"url": "tcp://10.0.0.1:2375"}))
            .unwrap_err()
            .contains("needs 'tls'")
    );
    assert!(one(json!({"url": "sim://a"})).unwrap_err().contains("not enabled here"));
    assert!(one(json!({"url": "http://a"})).unwrap_err().contains("is not one of"));
    assert!(validate("host.dockerinc.engine-1.0", json!({"endpoints": []})).is_err());
}

#[test]
fn words_are_split_as_a_shell_does() {
    let split = |text: &str| container::parse::split("command", text).map_err(|e| e.0);
    assert_eq!(
        split(r#"a "b c" 'd e' f\ g """#).unwrap(),
        ["a", "b c", "d e", "f g", ""]
    );
    assert_eq!(split(r#""a\"b" 'c\d'"#).unwrap(), [r#"a"b"#, r"c\d"]);
    assert!(split("\\").is_err());
}
