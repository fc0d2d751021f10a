"""A life of a cluster through the client that openapi-generator made (python, urllib3).

Arguments: the API's address, a token. The generated package `senlin_client` is on the path.
"""

import sys
import time

import senlin_client
from senlin_client import api, models

BASE, TOKEN = sys.argv[1:]
VERSION = "clustering 1.15"


def main():
    configuration = senlin_client.Configuration(host=BASE, api_key={"token": TOKEN})
    with senlin_client.ApiClient(configuration) as client:
        clusters, profiles, actions = api.ClustersApi(client), api.ProfilesApi(client), api.ActionsApi(client)

        def ended(answer):
            for _ in range(300):
                action = actions.actions_get(id=str(answer.action), open_stack_api_version=VERSION).action
                if action.status == "SUCCEEDED":
                    return
                assert action.status not in ("FAILED", "CANCELLED"), action
                time.sleep(0.1)
            raise AssertionError("the action did not end")

        spec = models.Spec(type="container.dockerinc.docker", version="1.1",
                           properties={"image": "busybox", "host_cluster": "hosts"})
        made = profiles.profiles_create(
            models.ProfileCreate(profile=models.NewProfile(name="generated-b", spec=spec)),
            open_stack_api_version=VERSION).profile
        cluster = clusters.clusters_create(
            models.ClusterCreate(cluster=models.NewCluster(name="generated-b", profile_id=str(made.id),
                                                           desired_capacity=2)),
            open_stack_api_version=VERSION).cluster
        for _ in range(300):
            shown = clusters.clusters_get(id=str(cluster.id), open_stack_api_version=VERSION).cluster
            if shown.status == "ACTIVE" and len(shown.nodes) == 2:
                break
            time.sleep(0.1)
        assert shown.status == "ACTIVE", shown
        ended(clusters.clusters_action(id="generated-b", open_stack_api_version=VERSION,
                                       cluster_action=models.ClusterAction(scale_out=models.Count(count=1))))
        assert len(clusters.clusters_get(id="generated-b", open_stack_api_version=VERSION).cluster.nodes) == 3
        clusters.clusters_delete(id="generated-b", open_stack_api_version=VERSION)
        for _ in range(300):
            try:
                clusters.clusters_get(id="generated-b", open_stack_api_version=VERSION)
                time.sleep(0.1)
            except senlin_client.exceptions.NotFoundException as error:
                assert "could not be found" in error.body
                break
        profiles.profiles_delete(id="generated-b", open_stack_api_version=VERSION)
    print("openapi-generator's client: created, scaled, deleted")


main()
