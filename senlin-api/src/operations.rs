//! Every operation of the API, once: what the router serves (`router.rs` names
//! the handlers), the rules let in, and the OpenAPI document describes.

use std::{collections::HashMap, sync::LazyLock};

/// One operation.
#[derive(Debug)]
pub struct Operation {
    /// In small letters.
    pub method: &'static str,
    /// As the router has it.
    pub path: &'static str,
    /// The rule that lets callers in; empty for one that needs no token.
    pub rule: &'static str,
    /// The microversion 1.x that brought it.
    pub since: u32,
    /// Of success.
    pub status: u16,
    /// The resource.
    pub tag: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// Schema of its body.
    pub body: Option<&'static str>,
    /// Schema of its answer.
    pub answer: Option<&'static str>,
    /// Query parameters, as the document's `parameters` name them.
    pub query: &'static [&'static str],
}

static BY_ROUTE: LazyLock<HashMap<(&'static str, &'static str), &'static Operation>> =
    LazyLock::new(|| OPERATIONS.iter().map(|o| ((o.method, o.path), o)).collect());

/// The operation behind a route.
#[must_use]
pub fn find(method: &str, path: &str) -> Option<&'static Operation> {
    BY_ROUTE.get(&(method.to_lowercase().as_str(), path)).copied()
}

impl Operation {
    /// The path without what the router needs to know of its segments.
    #[must_use]
    pub fn template(&self) -> String {
        self.path.replace(":.*}", "}")
    }
}

const fn one(list: &[&'static str]) -> Option<&'static str> {
    match list {
        [only] => Some(only),
        _ => None,
    }
}

macro_rules! list {
    ($($method:ident $path:literal => $handler:path, $rule:literal $since:literal $status:literal $tag:literal $summary:literal
        [$($body:literal)?] [$($answer:literal)?] [$($query:literal)*];)*) => {
        /// All of them.
        pub const OPERATIONS: &[Operation] = &[$(Operation {
            method: stringify!($method),
            path: $path,
            rule: $rule,
            since: $since,
            status: $status,
            tag: $tag,
            summary: $summary,
            body: one(&[$($body)?]),
            answer: one(&[$($answer)?]),
            query: &[$($query),*],
        }),*];
    };
}

/// Gives `$to` the table, one line each: method, path, handler, rule, since 1.x, status, resource, what it
/// does, [schema of the body], [schema of the answer], [query parameters].
macro_rules! give_operations { ($to:ident) => { $to! {
    get "/" => versions::list, "" 0 300 "versions" "List API versions"
        [] ["Versions"] [];
    get "/versions" => versions::list, "" 0 300 "versions" "List API versions"
        [] ["Versions"] [];
    get "/v1" => versions::show, "" 0 200 "versions" "Show API version 1"
        [] ["VersionAnswer"] [];
    get "/v1/" => versions::show_authenticated, "versions:show" 0 200 "versions" "Show API version 1, with a token"
        [] ["VersionAnswer"] [];
    get "/v1/build-info" => build_info::show, "build_info:build_info" 0 200 "build-info" "Show build information"
        [] ["BuildInfoAnswer"] [];
    get "/v1/profile-types" => profile_types::list, "profile_types:index" 0 200 "profile-types" "List profile types"
        [] ["ProfileTypesAnswer"] [];
    get "/v1/profile-types/{id}" => profile_types::show, "profile_types:get" 0 200 "profile-types" "Show a profile type and its schema"
        [] ["ProfileTypeAnswer"] [];
    get "/v1/profile-types/{id}/ops" => profile_types::ops, "profile_types:ops" 4 200 "profile-types" "List a profile type's operations"
        [] ["OperationsAnswer"] [];
    get "/v1/policy-types" => policy_types::list, "policy_types:index" 0 200 "policy-types" "List policy types"
        [] ["PolicyTypesAnswer"] [];
    get "/v1/policy-types/{id}" => policy_types::show, "policy_types:get" 0 200 "policy-types" "Show a policy type and its schema"
        [] ["PolicyTypeAnswer"] [];
    get "/v1/profiles" => profiles::list, "profiles:index" 0 200 "profiles" "List profiles"
        [] ["ProfilesAnswer"] ["limit" "marker" "sort" "global_project" "name" "type"];
    post "/v1/profiles" => profiles::create, "profiles:create" 0 201 "profiles" "Create a profile"
        ["ProfileCreate"] ["ProfileAnswer"] [];
    post "/v1/profiles/validate" => profiles::validate, "profiles:validate" 2 200 "profiles" "Check a profile's spec"
        ["ProfileValidate"] ["ProfileAnswer"] [];
    get "/v1/profiles/{id}" => profiles::show, "profiles:get" 0 200 "profiles" "Show a profile"
        [] ["ProfileAnswer"] [];
    patch "/v1/profiles/{id}" => profiles::update, "profiles:update" 0 200 "profiles" "Change a profile's name or metadata"
        ["ProfileUpdate"] ["ProfileAnswer"] [];
    delete "/v1/profiles/{id}" => profiles::delete, "profiles:delete" 0 204 "profiles" "Delete a profile"
        [] [] [];
    get "/v1/policies" => policies::list, "policies:index" 0 200 "policies" "List policies"
        [] ["PoliciesAnswer"] ["limit" "marker" "sort" "global_project" "name" "type"];
    post "/v1/policies" => policies::create, "policies:create" 0 201 "policies" "Create a policy"
        ["PolicyCreate"] ["PolicyAnswer"] [];
    post "/v1/policies/validate" => policies::validate, "policies:validate" 2 200 "policies" "Check a policy's spec"
        ["PolicyValidate"] ["PolicyAnswer"] [];
    get "/v1/policies/{id}" => policies::show, "policies:get" 0 200 "policies" "Show a policy"
        [] ["PolicyAnswer"] [];
    patch "/v1/policies/{id}" => policies::update, "policies:update" 0 200 "policies" "Rename a policy"
        ["PolicyUpdate"] ["PolicyAnswer"] [];
    delete "/v1/policies/{id}" => policies::delete, "policies:delete" 0 204 "policies" "Delete a policy"
        [] [] [];
    get "/v1/clusters" => clusters::list, "clusters:index" 0 200 "clusters" "List clusters"
        [] ["ClustersAnswer"] ["limit" "marker" "sort" "global_project" "name" "cluster_status"];
    post "/v1/clusters" => clusters::create, "clusters:create" 0 202 "clusters" "Create a cluster"
        ["ClusterCreate"] ["ClusterAnswer"] [];
    get "/v1/clusters/{id}" => clusters::show, "clusters:get" 0 200 "clusters" "Show a cluster"
        [] ["ClusterAnswer"] [];
    patch "/v1/clusters/{id}" => clusters::update, "clusters:update" 0 202 "clusters" "Update a cluster"
        ["ClusterUpdate"] ["ClusterAnswer"] [];
    delete "/v1/clusters/{id}" => clusters::delete, "clusters:delete" 0 202 "clusters" "Delete a cluster"
        ["Force"] [] ["force"];
    post "/v1/clusters/{id}/actions" => clusters::act, "clusters:action" 0 202 "clusters" "Act on a cluster"
        ["ClusterAction"] ["Accepted"] [];
    post "/v1/clusters/{id}/plan" => clusters::preview, "clusters:plan" 15 200 "clusters" "Say what an action would do, without doing it"
        ["ClusterAction"] ["PlanAnswer"] [];
    post "/v1/clusters/{id}/ops" => clusters::operate, "clusters:operation" 4 202 "clusters" "Run an operation on members"
        ["ClusterOperation"] ["Accepted"] [];
    get "/v1/clusters/{id}/attrs/{sub:.*}" => clusters::collect, "clusters:collect" 2 200 "clusters" "Collect one value of every member"
        [] ["AttributesAnswer"] [];
    get "/v1/clusters/{id}/policies" => cluster_policies::list, "cluster_policies:index" 0 200 "cluster-policies" "List a cluster's policies"
        [] ["BindingsAnswer"] ["binding_sort" "enabled" "policy_name" "policy_type"];
    get "/v1/clusters/{id}/policies/{sub}" => cluster_policies::show, "cluster_policies:get" 0 200 "cluster-policies" "Show a policy attached to a cluster"
        [] ["BindingAnswer"] [];
    get "/v1/nodes" => nodes::list, "nodes:index" 0 200 "nodes" "List nodes"
        [] ["NodesAnswer"] ["limit" "marker" "sort" "global_project" "cluster_id" "name" "node_status"];
    post "/v1/nodes" => nodes::create, "nodes:create" 0 202 "nodes" "Create a node"
        ["NodeCreate"] ["NodeAnswer"] [];
    post "/v1/nodes/adopt" => nodes::adopt, "nodes:adopt" 7 200 "nodes" "Adopt what already runs"
        ["NodeAdopt"] ["NodeAnswer"] [];
    post "/v1/nodes/adopt-preview" => nodes::adopt_preview, "nodes:adopt_preview" 7 200 "nodes" "Preview an adoption"
        ["NodeAdoptPreview"] ["PreviewAnswer"] [];
    get "/v1/nodes/{id}" => nodes::show, "nodes:get" 0 200 "nodes" "Show a node"
        [] ["NodeAnswer"] ["show_details"];
    patch "/v1/nodes/{id}" => nodes::update, "nodes:update" 0 202 "nodes" "Update a node"
        ["NodeUpdate"] ["NodeAnswer"] [];
    delete "/v1/nodes/{id}" => nodes::delete, "nodes:delete" 0 202 "nodes" "Delete a node"
        ["Force"] [] [];
    post "/v1/nodes/{id}/actions" => nodes::act, "nodes:action" 0 202 "nodes" "Act on a node"
        ["NodeAction"] ["Accepted"] [];
    post "/v1/nodes/{id}/ops" => nodes::operate, "nodes:operation" 4 202 "nodes" "Run an operation on a node"
        ["NodeOperation"] ["Accepted"] [];
    get "/v1/actions" => actions::list, "actions:index" 0 200 "actions" "List actions"
        [] ["ActionsAnswer"] ["limit" "marker" "sort" "global_project" "name" "target" "action" "action_status" "action_cluster_id"];
    post "/v1/actions" => actions::create, "actions:create" 0 202 "actions" "Refused: actions are made by what they are for"
        ["Anything"] [] [];
    get "/v1/actions/{id}" => actions::show, "actions:get" 0 200 "actions" "Show an action"
        [] ["ActionAnswer"] [];
    patch "/v1/actions/{id}" => actions::update, "actions:update" 12 202 "actions" "Cancel an action"
        ["ActionUpdate"] ["ActionAnswer"] ["force"];
    get "/v1/receivers" => receivers::list, "receivers:index" 0 200 "receivers" "List receivers"
        [] ["ReceiversAnswer"] ["limit" "marker" "sort" "global_project" "name" "receiver_type" "cluster_id" "user" "receiver_action"];
    post "/v1/receivers" => receivers::create, "receivers:create" 0 201 "receivers" "Create a receiver"
        ["ReceiverCreate"] ["ReceiverAnswer"] [];
    get "/v1/receivers/{id}" => receivers::show, "receivers:get" 0 200 "receivers" "Show a receiver"
        [] ["ReceiverAnswer"] [];
    patch "/v1/receivers/{id}" => receivers::update, "receivers:update" 0 200 "receivers" "Change a receiver"
        ["ReceiverUpdate"] ["ReceiverAnswer"] [];
    delete "/v1/receivers/{id}" => receivers::delete, "receivers:delete" 0 204 "receivers" "Delete a receiver"
        [] [] [];
    get "/v1/receivers/{id}/deliveries" => alerts::list, "receivers:deliveries" 15 200 "receivers" "List what a receiver was sent, and what became of it"
        [] ["DeliveriesAnswer"] [];
    post "/v1/receivers/{id}/rotate" => receivers::rotate, "receivers:update" 15 200 "receivers" "Give a receiver another URL"
        [] ["ReceiverAnswer"] [];
    post "/v1/receivers/{id}/notify" => receivers::notify, "receivers:notify" 0 204 "receivers" "Tell a message receiver that there are messages"
        [] [] [];
    post "/v1/webhooks/{id}/trigger" => webhooks::trigger, "" 0 202 "receivers" "Trigger the webhook"
        ["Anything"] ["Accepted"] ["V" "key"];
    get "/v1/events" => events::list, "events:index" 0 200 "events" "List events"
        [] ["EventsAnswer"] ["limit" "marker" "sort" "global_project" "oid" "oname" "otype" "action_cluster_id" "event_action" "level" "since"];
    get "/v1/events/{id}" => events::show, "events:get" 0 200 "events" "Show an event"
        [] ["EventAnswer"] [];
    get "/v1/prometheus/targets" => targets::list, "prometheus:targets" 0 200 "prometheus" "List a project's containers as Prometheus' HTTP service discovery"
        [] ["TargetsAnswer"] [];
    get "/v1/self" => node_self::show, "" 0 200 "self" "Show a container's own node to its process"
        [] ["SelfAnswer"] [];
    get "/v1/self/members" => node_self::members, "" 0 200 "self" "List the members of its cluster"
        [] ["MembersAnswer"] [];
    post "/v1/self/events" => node_self::report, "" 0 204 "self" "Report an event of the node"
        ["SelfEvent"] [] [];
    post "/v1/self/protection" => node_self::protect, "" 0 200 "self" "Protect the node from scaling in for a time"
        ["SelfProtection"] ["ProtectionAnswer"] [];
    post "/v1/self/lifecycle" => node_self::lifecycle, "" 0 200 "self" "Answer the node's lifecycle hook, or ask for more time"
        ["SelfLifecycle"] ["LifecycleAnswer"] [];
    get "/v1/unaccounted-containers" => unaccounted::list, "unaccounted_containers:index" 15 200 "unaccounted-containers" "List containers that the record does not account for"
        [] ["UnaccountedAnswer"] ["limit" "marker"];
    post "/v1/unaccounted-containers/{id}/actions" => unaccounted::act, "unaccounted_containers:action" 15 200 "unaccounted-containers" "Take an unaccounted container back, or remove it"
        ["UnaccountedAction"] ["UnaccountedSettled"] [];
    get "/v1/services" => services::list, "services:index" 0 200 "services" "List services"
        [] ["ServicesAnswer"] [];
} } }

give_operations!(list);
pub(crate) use give_operations;
