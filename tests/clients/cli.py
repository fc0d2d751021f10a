"""Every `openstack cluster ...` command except `run`, as a user types it.

The environment is a user's (OS_AUTH_URL, OS_USERNAME, ...); the host cluster `hosts` is there already.
Prints how many commands ran.
"""

import contextlib
import io
import json
import os
import sys
import tempfile
import time

import yaml
from openstackclient import shell

COMMANDS = set()


def run(line, *more, fails=None):
    """One command; its parsed answer, or its text. `fails` is part of the message of an expected failure."""
    argv = line.split() + list(more)
    COMMANDS.add(" ".join(word for word in line.split() if not word.startswith("-"))
                 if not more else line.split(" -")[0])
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = shell.main(argv)
        except SystemExit as end:
            code = end.code
    text, said = out.getvalue(), err.getvalue()
    if fails is not None:
        assert code != 0 and fails in said + text, f"{argv}: {code} {text} {said}"
        return said
    assert code == 0, f"{argv}: {code}\n{text}\n{said}"
    try:
        return json.loads(text)
    except ValueError:
        return text + said


def data(value):
    """What the client shows as JSON text within JSON."""
    return json.loads(value) if isinstance(value, str) else value


def spec(**content):
    file = tempfile.NamedTemporaryFile("w", suffix=".yaml", delete=False)
    with file:
        yaml.safe_dump(content, file)
    return file.name


def until(what, check):
    for _ in range(300):
        if check():
            return
        time.sleep(0.1)
    raise AssertionError(f"{what} did not come to be")


def idle(cluster):
    """Waits until nothing is under way on a cluster."""
    open_states = {"INIT", "READY", "WAITING", "RUNNING"}

    def ended():
        actions = run("cluster action list -f json")
        return not [a for a in actions if a["status"] in open_states]

    until(f"the end of what is done to {cluster}", ended)
    return run("cluster show -f json", cluster)


def main():
    container = spec(type="container.dockerinc.docker", version="1.1",
                     properties={"image": "busybox", "host_cluster": "hosts"})
    other = spec(type="container.dockerinc.docker", version="1.1",
                 properties={"image": "busybox", "host_cluster": "hosts", "memory": "64m"})
    scaling = spec(type="senlin.policy.scaling", version="1.0",
                   properties={"event": "CLUSTER_SCALE_OUT", "adjustment": {"number": 1}})

    # What there is.
    assert run("cluster build info -f json")
    types = run("cluster profile type list -f json")
    assert {"name": "container.dockerinc.docker", "version": "1.1"}.items() <= {
        k: v for t in types if t["version"] == "1.1" for k, v in t.items()}.items(), types
    assert run("cluster policy type list -f json")
    assert "restart" in str(run("cluster profile type ops -f json container.dockerinc.docker-1.1"))

    # Profiles.
    assert run("cluster profile validate -f json --spec-file", container)["type"] == "container.dockerinc.docker-1.1"
    made = run("cluster profile create -f json --spec-file", container, "--metadata", "a=b", "web")
    assert made["name"] == "web" and data(made["metadata"]) == {"a": "b"}, made
    run("cluster profile create --spec-file", other, "bigger")
    assert len(run("cluster profile list -f json --filters", "name=web;type=container.dockerinc.docker-1.1")) == 1
    run("cluster profile update --name web2 --metadata c=d web")
    assert data(run("cluster profile show -f json web2")["metadata"]) == {"c": "d"}
    run("cluster profile update --name web web2")

    # A cluster's life.
    run("cluster create --profile web --desired-capacity 2 --min-size 1 --max-size 6 --timeout 600 "
        "--metadata k=v --config node.name.format=w-$I c1")
    shown = idle("c1")
    assert shown["status"] == "ACTIVE" and shown["desired_capacity"] == 2, shown
    assert [c["name"] for c in run("cluster list -f json --sort name:desc --limit 5 --full-id")] == ["hosts", "c1"]
    run("cluster update --name c2 --metadata k=w --timeout 700 c1")
    assert data(idle("c2")["metadata"]) == {"k": "w"}
    run("cluster update --name c1 c2")
    idle("c1")
    run("cluster expand --count 1 c1")
    assert len(idle("c1")["node_ids"].split()) == 3
    run("cluster shrink --count 1 c1")
    idle("c1")
    run("cluster resize --capacity 3 c1")
    idle("c1")
    run("cluster resize --adjustment=-1 --strict c1")
    idle("c1")
    run("cluster resize --percentage 50 --min-step 1 --max-size 5 --min-size 0 c1")
    assert idle("c1")["max_size"] == 5
    assert len(run("cluster members list -f json --full-id c1")) == 3

    # Nodes, in and out of it.
    for name in ("n1", "n2"):
        run("cluster node create --profile web --role worker --metadata x=y", name)
    until("the nodes", lambda: all(
        run("cluster node show -f json", n)["status"] == "ACTIVE" for n in ("n1", "n2")))
    run("cluster members add --nodes n1 c1")
    idle("c1")
    assert run("cluster node show -f json n1")["cluster_id"]
    run("cluster members replace --nodes n1=n2 c1")
    idle("c1")
    run("cluster members del --nodes n2 c1")
    idle("c1")
    assert not run("cluster node show -f json n2")["cluster_id"]
    assert len(run("cluster node list -f json --filters status=ACTIVE --cluster c1")) == 3
    run("cluster node update --name n3 --role boss --metadata x=z --tainted True n2")
    until("the update", lambda: run("cluster node list -f json --filters name=n3"))
    assert run("cluster node show -f json --details n3")["details"]
    run("cluster node check n3")
    idle("c1")
    run("cluster node recover --check true n3")
    idle("c1")
    run("cluster node op --operation restart n3", fails="")
    there = run("cluster node show -f json n3")
    overrides = json.dumps({"host_node": data(there["data"])["placement"]["host_node"]})
    adopt = "cluster node adopt --type container.dockerinc.docker-1.1 --overrides"
    # It is a node's already; the client shows a refused preview as the key that it misses.
    run(adopt, overrides, "--preview", "--identity", there["physical_id"], fails="node_profile")
    run(adopt, overrides, "--name", "mine", "--identity", there["physical_id"], fails="belongs to node")

    # What a cluster can be asked for.
    run("cluster check c1")
    idle("c1")
    run("cluster recover --check true c1")
    idle("c1")
    values = run("cluster collect -f json --path name c1")
    assert len(values) == 3, values
    run("cluster op --operation restart c1")
    idle("c1")

    # Policies.
    assert run("cluster policy validate -f json --spec-file", scaling)["type"] == "senlin.policy.scaling-1.0"
    run("cluster policy create --spec-file", scaling, "out")
    run("cluster policy update --name grow out")
    assert run("cluster policy show -f json grow")["name"] == "grow"
    assert len(run("cluster policy list -f json --filters name=grow")) == 1
    run("cluster policy attach --policy grow --enabled True c1")
    idle("c1")
    assert len(run("cluster policy binding list -f json c1")) == 1
    assert run("cluster policy binding show -f json --policy grow c1")["is_enabled"] is True
    run("cluster policy binding update --policy grow --enabled False c1")
    idle("c1")
    assert run("cluster policy binding show -f json --policy grow c1")["is_enabled"] is False
    run("cluster policy detach --policy grow c1")
    idle("c1")

    # Receivers.
    made = run("cluster receiver create -f json --type webhook --cluster c1 --action CLUSTER_SCALE_OUT "
               "--params count=1 door")
    assert "alarm_url" in str(made["channel"]), made
    run("cluster receiver update --name gate --action CLUSTER_SCALE_IN --params count=2 door")
    assert run("cluster receiver show -f json gate")["action"] == "CLUSTER_SCALE_IN"
    assert len(run("cluster receiver list -f json")) == 1
    run("cluster receiver delete --force gate")

    # What was done.
    actions = run("cluster action list -f json --limit 3 --full-id")
    assert len(actions) > 30, "with a limit the client goes on page by page"
    run("cluster action show -f json", actions[0]["id"])
    run("cluster action update --status CANCELLED", actions[0]["id"], fails="")
    events = run("cluster event list -f json --limit 40 --full-id")
    assert len(events) > 30
    run("cluster event show -f json", events[0]["id"])
    run("cluster service list -f json", fails="403")

    # The end.
    run("cluster node delete --force n1")
    run("cluster node delete --force --force-delete n3")
    run("cluster delete --force --force-delete c1")
    until("the end of c1", lambda: run("cluster list -f json --filters name=c1") == [])
    until("the end of the nodes", lambda: run("cluster node list -f json --filters", "name=n3") == [])
    run("cluster policy delete --force grow")
    run("cluster profile delete --force web bigger")
    # These three fail in the client, whatever a server answers.
    run("cluster profile type show container.dockerinc.docker-1.1", fails="")
    run("cluster policy type show senlin.policy.scaling-1.0", fails="")
    print(f"openstack client: {len(COMMANDS)} command lines of senlinclient ran")


if __name__ == "__main__":
    os.environ.setdefault("OS_CLUSTERING_API_VERSION", "1")
    sys.exit(main())
