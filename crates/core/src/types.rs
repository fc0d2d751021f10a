//! What profile types and policy types have in common: a name, a version, a
//! life, and a place where they are found.

use std::sync::Arc;

use crate::spec::SpecSchema;

/// A status in a type's life: since when it is how well supported.
#[derive(Debug, Clone, Copy)]
pub struct Support {
    /// `EXPERIMENTAL`, `SUPPORTED`, `DEPRECATED` or `UNSUPPORTED`.
    pub status: &'static str,
    /// Such as `2017.02`.
    pub since: &'static str,
}

impl Support {
    /// Experimental since then.
    #[must_use]
    pub const fn experimental(since: &'static str) -> Self {
        let status = "EXPERIMENTAL";
        Self { status, since }
    }

    /// Supported since then.
    #[must_use]
    pub const fn supported(since: &'static str) -> Self {
        let status = "SUPPORTED";
        Self { status, since }
    }
}

/// What a type is called, and since when.
#[derive(Debug, Clone, Copy)]
pub struct Meta {
    /// Such as `senlin.policy.scaling`.
    pub name: &'static str,
    /// Such as `1.0`.
    pub version: &'static str,
    /// Its life so far.
    pub support: &'static [Support],
    /// The microversion from which it is listed.
    pub since: (u32, u32),
}

impl Meta {
    /// `name-version`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }
}

/// A profile type or a policy type.
pub trait SpecType {
    /// What it is called.
    fn meta(&self) -> &'static Meta;
    /// The schema of `properties`.
    fn schema(&self) -> &SpecSchema;
}

/// Every type of a kind, found by `name-version`.
pub struct Registry<T: ?Sized> {
    types: Arc<[Arc<T>]>,
}

impl<T: ?Sized> Clone for Registry<T> {
    fn clone(&self) -> Self {
        let types = self.types.clone();
        Self { types }
    }
}

impl<T: SpecType + ?Sized> Registry<T> {
    /// A registry of these types.
    #[must_use]
    pub fn new(types: Vec<Arc<T>>) -> Self {
        Self { types: types.into() }
    }

    /// The type with that `name-version`.
    #[must_use]
    pub fn find(&self, full_name: &str) -> Option<&Arc<T>> {
        self.iter().find(|t| full_name == t.meta().full_name())
    }

    /// Every type, in listing order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<T>> {
        self.types.iter()
    }
}
