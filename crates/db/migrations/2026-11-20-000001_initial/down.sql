DROP TABLE services, receivers, events, node_locks, cluster_locks, action_dependencies, actions,
    cluster_policies, policies, leftovers, host_ports, hosts, nodes, profiles, clusters, installation CASCADE;
