"""A life of a cluster through the client that openapi-python-client made (httpx).

Arguments: the API's address, a token. The generated package `senlin_clustering_client` is on the path.
"""

import sys
import time

import senlin_clustering_client as generated
from senlin_clustering_client import models
from senlin_clustering_client.api.actions import actions_get
from senlin_clustering_client.api.clusters import clusters_action, clusters_create, clusters_delete, clusters_get
from senlin_clustering_client.api.profiles import profiles_create, profiles_delete

BASE, TOKEN = sys.argv[1:]
VERSION = "clustering 1.15"


def main():
    client = generated.AuthenticatedClient(base_url=BASE, token=TOKEN, prefix="", auth_header_name="X-Auth-Token",
                                           raise_on_unexpected_status=True)
    common = {"client": client, "open_stack_api_version": VERSION}

    def ended(answer):
        for _ in range(300):
            action = actions_get.sync(str(answer.action), **common).action
            if action.status == "SUCCEEDED":
                return
            assert action.status not in ("FAILED", "CANCELLED"), action
            time.sleep(0.1)
        raise AssertionError("the action did not end")

    properties = {"image": "busybox", "host_cluster": "hosts"}
    body = {"profile": {"name": "generated-a", "spec": {"type": "container.dockerinc.docker", "version": "1.1",
                                                        "properties": properties}}}
    made = profiles_create.sync(body=models.ProfileCreate.from_dict(body), **common)
    assert made.profile.name == "generated-a", made
    body = {"cluster": {"name": "generated-a", "profile_id": str(made.profile.id), "desired_capacity": 2}}
    clusters_create.sync(body=models.ClusterCreate.from_dict(body), **common)
    for _ in range(300):
        shown = clusters_get.sync("generated-a", **common).cluster
        if shown.status == "ACTIVE" and len(shown.nodes) == 2:
            break
        time.sleep(0.1)
    assert shown.status == "ACTIVE", shown
    action = models.ClusterAction.from_dict({"scale_out": {"count": 1}})
    ended(clusters_action.sync("generated-a", body=action, **common))
    assert len(clusters_get.sync("generated-a", **common).cluster.nodes) == 3
    clusters_delete.sync_detailed("generated-a", body=models.Force(), **common)
    for _ in range(300):
        if clusters_get.sync_detailed("generated-a", **common).status_code == 404:
            break
        time.sleep(0.1)
    fault = clusters_get.sync("generated-a", **common)
    assert "could not be found" in fault.error.message, fault
    assert profiles_delete.sync_detailed("generated-a", **common).status_code == 204
    print("openapi-python-client's client: created, scaled, deleted")


main()
