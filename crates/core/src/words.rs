//! Enums whose values have a name on the wire and in the database.

/// Declares one: each value with its name, and how to get from one to the other.
macro_rules! words {
    ($(#[$doc:meta])* $enum:ident { $($(#[$value_doc:meta])* $value:ident = $name:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        #[allow(missing_docs, reason = "most are the contract's own words")]
        pub enum $enum { $($(#[$value_doc])* #[serde(rename = $name)] $value),* }

        impl $enum {
            /// Every value, in the order of the contract.
            pub const ALL: &'static [Self] = &[$(Self::$value),*];

            /// The name on the wire and in the database.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$value => $name),* }
            }

            /// The value with that name.
            #[must_use]
            pub fn parse(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.as_str() == name)
            }
        }
    };
}
pub(crate) use words;
