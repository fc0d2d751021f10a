//! The tables, as the migrations make them: a test compares, and writes this file anew with `UPDATE=1`.

#![allow(missing_docs, reason = "generated; the migrations say what each column means")]

diesel::table! {
    action_dependencies (depended, dependent) {
        depended -> Uuid,
        dependent -> Uuid,
    }
}

diesel::table! {
    actions (id) {
        id -> Uuid,
        seq -> BigInt,
        name -> Text,
        action -> Text,
        target -> Uuid,
        target_name -> Text,
        cluster_id -> Nullable<Uuid>,
        parent_id -> Nullable<Uuid>,
        cause -> Text,
        lock_scope -> Text,
        host_id -> Nullable<Uuid>,
        status -> Text,
        status_reason -> Text,
        phase -> Text,
        control -> Nullable<Text>,
        inputs -> Jsonb,
        outputs -> Jsonb,
        data -> Jsonb,
        owner -> Nullable<Uuid>,
        attempt -> Integer,
        retries -> Integer,
        run_after -> Timestamptz,
        lease_expires_at -> Nullable<Timestamptz>,
        interval -> Integer,
        timeout -> Integer,
        user_id -> Text,
        project -> Text,
        request_id -> Text,
        created_at -> Timestamptz,
        updated_at -> Nullable<Timestamptz>,
        started_at -> Nullable<Timestamptz>,
        ended_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    cluster_locks (cluster_id, action_id) {
        cluster_id -> Uuid,
        action_id -> Uuid,
        exclusive -> Bool,
    }
}

diesel::table! {
    cluster_policies (id) {
        id -> Uuid,
        cluster_id -> Uuid,
        policy_id -> Uuid,
        enabled -> Bool,
        priority -> Integer,
        data -> Nullable<Jsonb>,
        last_op -> Nullable<Timestamptz>,
        due_at -> Timestamptz,
        memory -> Jsonb,
    }
}

diesel::table! {
    clusters (id) {
        id -> Uuid,
        name -> Text,
        profile_id -> Uuid,
        user_id -> Text,
        project -> Text,
        domain -> Nullable<Text>,
        init_at -> Timestamptz,
        created_at -> Nullable<Timestamptz>,
        updated_at -> Nullable<Timestamptz>,
        min_size -> Integer,
        max_size -> Integer,
        desired_capacity -> Integer,
        next_index -> Integer,
        timeout -> Integer,
        status -> Text,
        status_reason -> Text,
        metadata -> Jsonb,
        data -> Jsonb,
        config -> Jsonb,
        shared_with -> Array<Text>,
    }
}

diesel::table! {
    deliveries (id, received_at) {
        id -> Uuid,
        receiver_id -> Uuid,
        received_at -> Timestamptz,
        fingerprint -> Text,
        alert -> Text,
        state -> Text,
        outcome -> Text,
        reason -> Text,
        action_id -> Nullable<Uuid>,
    }
}

diesel::table! {
    departed_nodes (node_id) {
        node_id -> Uuid,
        generation -> Integer,
        departed_at -> Timestamptz,
    }
}

diesel::table! {
    ended_actions (id, created_at) {
        id -> Uuid,
        name -> Text,
        action -> Text,
        target -> Uuid,
        cluster_id -> Nullable<Uuid>,
        parent_id -> Nullable<Uuid>,
        cause -> Text,
        status -> Text,
        status_reason -> Text,
        phase -> Text,
        control -> Nullable<Text>,
        inputs -> Jsonb,
        outputs -> Jsonb,
        data -> Jsonb,
        owner -> Nullable<Uuid>,
        attempt -> Integer,
        retries -> Integer,
        interval -> Integer,
        timeout -> Integer,
        user_id -> Text,
        project -> Text,
        request_id -> Text,
        created_at -> Timestamptz,
        updated_at -> Nullable<Timestamptz>,
        started_at -> Nullable<Timestamptz>,
        ended_at -> Timestamptz,
    }
}

diesel::table! {
    events (id, timestamp) {
        id -> Uuid,
        seq -> BigInt,
        timestamp -> Timestamptz,
        oid -> Uuid,
        oname -> Text,
        otype -> Text,
        cluster_id -> Nullable<Uuid>,
        level -> Text,
        user_id -> Text,
        project -> Text,
        action -> Text,
        status -> Text,
        status_reason -> Text,
        meta_data -> Jsonb,
    }
}

diesel::table! {
    host_loads (host_id) {
        host_id -> Uuid,
        measured_at -> Timestamptz,
        cpu -> Nullable<Double>,
        memory -> Nullable<Double>,
        source -> Text,
        sample -> Jsonb,
    }
}

diesel::table! {
    host_ports (host_id, port, protocol) {
        host_id -> Uuid,
        port -> Integer,
        protocol -> Text,
        node_id -> Uuid,
    }
}

diesel::table! {
    host_use (host_id) {
        host_id -> Uuid,
        cpu_millis -> BigInt,
        memory -> BigInt,
        containers -> BigInt,
    }
}

diesel::table! {
    hosts (node_id) {
        node_id -> Uuid,
        endpoint -> Text,
        state -> Text,
        last_seen -> Nullable<Timestamptz>,
        info -> Jsonb,
        beat_at -> Timestamptz,
        measure_at -> Timestamptz,
        watcher -> Nullable<Uuid>,
        watch_until -> Timestamptz,
    }
}

diesel::table! {
    idempotency_keys (project, user_id, key) {
        project -> Text,
        user_id -> Text,
        key -> Text,
        fingerprint -> Text,
        token -> Uuid,
        begun_at -> Timestamptz,
        status -> Nullable<Integer>,
        location -> Nullable<Text>,
        body -> Nullable<Text>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    installation (id) {
        id -> Uuid,
        only_one -> Bool,
    }
}

diesel::table! {
    leftovers (node_id, host_id) {
        node_id -> Uuid,
        host_id -> Uuid,
        generation -> Integer,
        created_at -> Timestamptz,
        container_id -> Nullable<Text>,
    }
}

diesel::table! {
    node_attempts (node_id) {
        node_id -> Uuid,
        action_id -> Uuid,
        generation -> Integer,
        host_id -> Uuid,
        profile_id -> Uuid,
        begun_at -> Timestamptz,
        checked_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    node_loads (node_id) {
        node_id -> Uuid,
        measured_at -> Timestamptz,
        cpu -> Double,
        memory -> Double,
    }
}

diesel::table! {
    node_locks (node_id) {
        node_id -> Uuid,
        action_id -> Uuid,
    }
}

diesel::table! {
    nodes (id) {
        id -> Uuid,
        name -> Text,
        cluster_id -> Nullable<Uuid>,
        physical_id -> Nullable<Text>,
        profile_id -> Uuid,
        user_id -> Text,
        project -> Text,
        domain -> Nullable<Text>,
        index -> Integer,
        role -> Nullable<Text>,
        init_at -> Timestamptz,
        created_at -> Nullable<Timestamptz>,
        updated_at -> Nullable<Timestamptz>,
        status -> Text,
        status_reason -> Text,
        metadata -> Jsonb,
        data -> Jsonb,
        tainted -> Bool,
        host_id -> Nullable<Uuid>,
        cpu_millis -> BigInt,
        memory -> BigInt,
        generation -> Integer,
        placed_at -> Nullable<Timestamptz>,
        protected_until -> Nullable<Timestamptz>,
        generations -> Integer,
        at_rest -> Bool,
        condition -> Nullable<Text>,
    }
}

diesel::table! {
    policies (id) {
        id -> Uuid,
        name -> Text,
        #[sql_name = "type"]
        type_name -> Text,
        spec -> Jsonb,
        data -> Jsonb,
        user_id -> Text,
        project -> Text,
        domain -> Nullable<Text>,
        created_at -> Timestamptz,
        updated_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    profiles (id) {
        id -> Uuid,
        name -> Text,
        #[sql_name = "type"]
        type_name -> Text,
        spec -> Jsonb,
        user_id -> Text,
        project -> Text,
        domain -> Nullable<Text>,
        metadata -> Jsonb,
        created_at -> Timestamptz,
        updated_at -> Nullable<Timestamptz>,
        host_node_id -> Nullable<Uuid>,
        host_cluster_id -> Nullable<Uuid>,
    }
}

diesel::table! {
    promised_sizes (cluster_id) {
        cluster_id -> Uuid,
        action_id -> Uuid,
        size -> Integer,
    }
}

diesel::table! {
    receivers (id) {
        id -> Uuid,
        name -> Text,
        #[sql_name = "type"]
        type_name -> Text,
        user_id -> Text,
        project -> Text,
        domain -> Nullable<Text>,
        cluster_id -> Nullable<Uuid>,
        action -> Nullable<Text>,
        actor -> Jsonb,
        params -> Jsonb,
        channel -> Jsonb,
        created_at -> Timestamptz,
        updated_at -> Nullable<Timestamptz>,
        key -> Text,
        expires_at -> Nullable<Timestamptz>,
        options -> Jsonb,
    }
}

diesel::table! {
    recoveries (id, begun_at) {
        id -> Uuid,
        cluster_id -> Uuid,
        node_id -> Uuid,
        action_id -> Uuid,
        reason -> Text,
        begun_at -> Timestamptz,
    }
}

diesel::table! {
    schema_compatibility (version) {
        version -> Text,
        programs_since -> Text,
    }
}

diesel::table! {
    services (id) {
        id -> Uuid,
        host -> Text,
        binary -> Text,
        topic -> Text,
        disabled -> Bool,
        disabled_reason -> Nullable<Text>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    unaccounted_containers (id) {
        id -> Uuid,
        host_id -> Uuid,
        container_id -> Text,
        node_id -> Uuid,
        generation -> Integer,
        project -> Nullable<Text>,
        cluster_id -> Nullable<Uuid>,
        profile_id -> Nullable<Uuid>,
        name -> Text,
        running -> Bool,
        reason -> Text,
        first_seen -> Timestamptz,
        last_seen -> Timestamptz,
        remove_asked_at -> Nullable<Timestamptz>,
    }
}

diesel::joinable!(cluster_locks -> actions (action_id));
diesel::joinable!(cluster_locks -> clusters (cluster_id));
diesel::joinable!(cluster_policies -> clusters (cluster_id));
diesel::joinable!(cluster_policies -> policies (policy_id));
diesel::joinable!(clusters -> profiles (profile_id));
diesel::joinable!(host_loads -> nodes (host_id));
diesel::joinable!(host_use -> hosts (host_id));
diesel::joinable!(hosts -> nodes (node_id));
diesel::joinable!(leftovers -> nodes (host_id));
diesel::joinable!(node_attempts -> profiles (profile_id));
diesel::joinable!(node_loads -> nodes (node_id));
diesel::joinable!(node_locks -> actions (action_id));
diesel::joinable!(node_locks -> nodes (node_id));
diesel::joinable!(nodes -> clusters (cluster_id));
diesel::joinable!(nodes -> profiles (profile_id));
diesel::joinable!(promised_sizes -> clusters (cluster_id));
diesel::joinable!(receivers -> clusters (cluster_id));
diesel::joinable!(unaccounted_containers -> nodes (host_id));

diesel::allow_tables_to_appear_in_same_query!(
    action_dependencies,
    actions,
    cluster_locks,
    cluster_policies,
    clusters,
    deliveries,
    departed_nodes,
    ended_actions,
    events,
    host_loads,
    host_ports,
    host_use,
    hosts,
    idempotency_keys,
    installation,
    leftovers,
    node_attempts,
    node_loads,
    node_locks,
    nodes,
    policies,
    profiles,
    promised_sizes,
    receivers,
    recoveries,
    schema_compatibility,
    services,
    unaccounted_containers,
);
