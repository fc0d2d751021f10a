"""Every method of openstacksdk's clustering proxy.

The environment is a user's; the host cluster `hosts` is there already. Prints how many methods ran.
"""

import sys
import time

import openstack
from openstack import exceptions

CALLED = set()


class Watched:
    """The proxy, noting which of its methods are called."""

    def __init__(self, proxy):
        self.proxy = proxy

    def __getattr__(self, name):
        CALLED.add(name)
        return getattr(self.proxy, name)


def main():
    connection = openstack.connect(clustering_default_microversion="1.14")
    c = Watched(connection.clustering)

    def ended(answer):
        assert type(answer) is not dict or "action" in answer, answer
        for _ in range(300):
            # An update answers the object: its action is the newest of it.
            state = (c.get_action(answer["action"]) if type(answer) is dict
                     else next(c.actions(target=answer.id, sort="created_at:desc", limit=1)))
            if state.status in ("SUCCEEDED", "FAILED", "CANCELLED"):
                assert state.status == "SUCCEEDED", state
                return state
            time.sleep(0.1)
        raise AssertionError(f"the action of {answer} did not end")

    def missing(call, *args, **more):
        try:
            call(*args, **more)
            raise AssertionError(f"{call.__name__} should find nothing")
        except exceptions.NotFoundException:
            pass

    def spec(**properties):
        return {"type": "container.dockerinc.docker", "version": "1.1",
                "properties": {"image": "busybox", "host_cluster": "hosts", **properties}}

    assert c.get_build_info().api
    names = [t.name for t in c.profile_types()]
    assert "container.dockerinc.docker" in names, names
    assert c.get_profile_type("container.dockerinc.docker-1.1").schema
    assert "restart" in c.list_profile_type_operations("container.dockerinc.docker-1.1")["operations"]
    assert list(c.policy_types())
    assert c.get_policy_type("senlin.policy.deletion-1.1").schema

    assert c.validate_profile(spec=spec()).type == "container.dockerinc.docker-1.1"
    profile = c.create_profile(name="sdk", spec=spec(), metadata={"a": "b"})
    assert c.get_profile(profile.id).name == "sdk"
    assert c.find_profile("sdk").id == profile.id
    assert c.find_profile("nothing of that name") is None
    assert [p.id for p in c.profiles(name="sdk")] == [profile.id]
    assert c.update_profile(profile, name="sdk2").name == "sdk2"

    cluster = c.create_cluster(name="sdk-c", profile_id=profile.id, desired_capacity=2, max_size=5)
    cluster = c.wait_for_status(cluster, "ACTIVE", interval=0.2, wait=30)
    assert c.find_cluster("sdk-c").id == cluster.id
    assert c.get_cluster("sdk-c").desired_capacity == 2
    # With a limit the SDK goes on page by page.
    c2 = c.create_cluster(name="sdk-c2", profile_id=profile.id)
    c.wait_for_status(c2, "ACTIVE", interval=0.2, wait=30)
    paged = [x.name for x in c.clusters(limit=1, sort="name")]
    assert paged == sorted(paged) and {"sdk-c", "sdk-c2"} <= set(paged), paged
    updated = c.update_cluster(cluster, metadata={"x": "y"})
    ended(updated)
    assert c.get_cluster(cluster.id).metadata == {"x": "y"}

    # Senlin never had these, and neither have we.
    for call in (c.fetch_cluster_metadata, c.get_cluster_metadata):
        missing(call, cluster)
    missing(c.set_cluster_metadata, cluster, a="b")
    missing(c.delete_cluster_metadata, cluster, ["a"])

    ended(c.scale_out_cluster(cluster, 1))
    ended(c.scale_in_cluster(cluster, 1))
    ended(c.resize_cluster(cluster, adjustment_type="EXACT_CAPACITY", number=3))
    ended(c.check_cluster(cluster.id))
    ended(c.recover_cluster(cluster.id, check=True))
    ended(c.perform_operation_on_cluster(cluster, "restart"))
    values = list(c.collect_cluster_attrs(cluster.id, "name"))
    assert len(values) == 3 and values[0].attr_value, values

    node = c.create_node(name="sdk-n", profile_id=profile.id)
    node = c.wait_for_status(node, "ACTIVE", interval=0.2, wait=30)
    other = c.create_node(name="sdk-o", profile_id=profile.id)
    other = c.wait_for_status(other, "ACTIVE", interval=0.2, wait=30)
    assert c.get_node(node.id, details=True).details
    assert c.find_node("sdk-n").id == node.id
    assert {"sdk-n", "sdk-o"} <= {n.name for n in c.nodes()}
    ended(c.update_node(node, role="worker"))
    ended(c.check_node(node))
    ended(c.recover_node(node, check=True))
    ended(c.perform_operation_on_node(node, "restart"))
    ended(c.add_nodes_to_cluster(cluster, [node.id]))
    ended(c.replace_nodes_in_cluster(cluster, {node.id: other.id}))
    ended(c.remove_nodes_from_cluster(cluster, [other.id]))
    host = next(c.nodes(cluster_id="hosts"))
    try:
        c.adopt_node(preview=True, identity="missing", type="container.dockerinc.docker-1.1",
                     overrides={"host_node": host.id})
    except (exceptions.NotFoundException, exceptions.SDKException) as error:
        assert "No such container" in str(error), error

    policy_spec = {"type": "senlin.policy.deletion", "version": "1.1", "properties": {"criteria": "OLDEST_FIRST"}}
    assert c.validate_policy(spec=policy_spec).type == "senlin.policy.deletion-1.1"
    policy = c.create_policy(name="sdk-p", spec=policy_spec)
    assert c.get_policy(policy.id).name == "sdk-p"
    assert c.find_policy("sdk-p").id == policy.id
    assert [p.id for p in c.policies(name="sdk-p")] == [policy.id]
    assert c.update_policy(policy, name="sdk-q").name == "sdk-q"
    ended(c.attach_policy_to_cluster(cluster, policy.id, enabled=True))
    assert [b.policy_id for b in c.cluster_policies(cluster.id)] == [policy.id]
    assert c.get_cluster_policy(policy.id, cluster.id).is_enabled
    ended(c.update_cluster_policy(cluster, policy.id, enabled=False))
    ended(c.detach_policy_from_cluster(cluster, policy.id))

    receiver = c.create_receiver(name="sdk-r", type="webhook", cluster_id=cluster.id, action="CLUSTER_SCALE_OUT",
                                 params={"count": 1})
    assert c.get_receiver(receiver.id).channel["alarm_url"]
    assert c.find_receiver("sdk-r").id == receiver.id
    assert [r.id for r in c.receivers(name="sdk-r")] == [receiver.id]
    assert c.update_receiver(receiver, name="sdk-s").name == "sdk-s"
    c.delete_receiver(receiver)

    actions = list(c.actions(target=cluster.id))
    assert actions and actions[0].target_id == cluster.id
    try:
        c.update_action(actions[0], status="CANCELLED")
        raise AssertionError("an action that has ended cannot be cancelled")
    except exceptions.ConflictException as error:
        assert "cannot be cancelled" in str(error), error
    events = list(c.events(limit=5))
    assert events and c.get_event(events[0].id).id == events[0].id
    try:
        list(c.services())
        raise AssertionError("services are for admins")
    except exceptions.ForbiddenException:
        pass

    for one in (node, other):
        c.delete_node(one, force_delete=True)
        c.wait_for_delete(one, interval=0.2, wait=30)
    for one in (cluster, c2):
        c.delete_cluster(one)
        c.wait_for_delete(one, interval=0.2, wait=30)
    c.delete_cluster("nothing of that name", ignore_missing=True)
    c.delete_policy(policy)
    c.delete_profile(profile)
    public = {name for name in dir(type(connection.clustering)) if not name.startswith("_")}
    mine = {name for name in vars(type(connection.clustering)) if not name.startswith("_")
            and callable(getattr(connection.clustering, name, None))}
    missed = sorted(mine - CALLED)
    assert mine <= public
    print(f"openstacksdk: {len(mine - set(missed))} of {len(mine)} methods of the proxy ran; not called: {missed}")
    assert not missed, missed


if __name__ == "__main__":
    sys.exit(main())
