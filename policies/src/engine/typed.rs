//! A policy type from what its file says: a form of properties, its META, what it decides.

use std::marker::PhantomData;

use senlin_core::{
    Map, Time,
    action::ActionKind,
    spec::{SpecError, SpecSchema},
};
use serde::de::DeserializeOwned;
use utoipa::ToSchema;

use super::{AttachedPolicy, ClusterSnapshot, Decision, PolicyMeta, PolicyType, Request, read};

/// What policies decide by their properties, which are this form.
pub(crate) trait Behaviour: DeserializeOwned + ToSchema + 'static {
    /// Rules beyond the schema.
    ///
    /// # Errors
    /// Names the item and the rule.
    fn check(&self) -> Result<(), SpecError> {
        Ok(())
    }
    /// As [`PolicyType::cooldown`].
    fn cooldown(&self, bound: &AttachedPolicy, kind: ActionKind, now: Time) -> Option<i64> {
        let _ = (bound, kind, now);
        None
    }
    /// As [`PolicyType::binding_data`].
    fn binding_data(&self, properties: &Map, meta: &PolicyMeta) -> Option<Map> {
        let _ = (properties, meta);
        None
    }
    /// As [`PolicyType::after`].
    fn after(kind: ActionKind) -> bool {
        let _ = kind;
        false
    }
    /// Whether it has a say in such a request at all.
    fn concerns(request: &Request) -> bool;
    /// As [`PolicyType::before`], for a request that it has a say in.
    ///
    /// # Errors
    /// The reason, for the tenant.
    fn before(
        self,
        bound: &AttachedPolicy,
        view: &ClusterSnapshot,
        request: &Request,
        decision: Decision,
    ) -> Result<Decision, String>;
}

/// A version of a policy type.
pub(crate) struct Typed<B> {
    meta: &'static PolicyMeta,
    schema: SpecSchema,
    behaviour: PhantomData<fn() -> B>,
}

impl<B: Behaviour> Typed<B> {
    /// With every property that the form has.
    pub(crate) fn new(meta: &'static PolicyMeta) -> Self {
        Self::with(meta, SpecSchema::of::<B>())
    }

    /// With another schema than the form's.
    pub(crate) fn with(meta: &'static PolicyMeta, schema: SpecSchema) -> Self {
        Self {
            meta,
            schema,
            behaviour: PhantomData,
        }
    }
}

impl<B: Behaviour> PolicyType for Typed<B> {
    fn meta(&self) -> &'static PolicyMeta {
        self.meta
    }

    fn schema(&self) -> &SpecSchema {
        &self.schema
    }

    fn validate(&self, properties: &Map) -> Result<(), SpecError> {
        read::<B>(properties)?.check()
    }

    fn cooldown(&self, bound: &AttachedPolicy, kind: ActionKind, now: Time) -> Option<i64> {
        read::<B>(&bound.properties).ok()?.cooldown(bound, kind, now)
    }

    fn binding_data(&self, properties: &Map) -> Option<Map> {
        read::<B>(properties).ok()?.binding_data(properties, self.meta)
    }

    fn after(&self, kind: ActionKind) -> bool {
        B::after(kind)
    }

    fn before(
        &self,
        bound: &AttachedPolicy,
        view: &ClusterSnapshot,
        request: &Request,
        decision: Decision,
    ) -> Result<Decision, String> {
        if !B::concerns(request) {
            return Ok(decision);
        }
        read::<B>(&bound.properties)
            .map_err(|e| e.0)?
            .before(bound, view, request, decision)
    }
}
