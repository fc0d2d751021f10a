//! The kinds of value that bodies hold, read as Senlin reads them: a number may
//! come as its digits, a map as JSON text. What is absent or null is the reader's.

use std::{collections::BTreeSet, marker::PhantomData};

use senlin_core::{Map, document};
use serde::Deserialize;
use serde_json::Value;
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        RefOr,
        schema::{KnownFormat, ObjectBuilder, Schema, SchemaFormat, Type},
    },
};

/// Stands for the field's name in what a kind says of a value: only the reader
/// knows it. The API lets no body in that has this character.
pub const KEY: &str = "\0";

/// Names that one request may list.
const MAX_NAMES: usize = 1000;

/// What Senlin calls the type of a value.
fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(n) if n.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

/// A value as a message shows it, and as what came as text is read.
fn shown(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn text(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(format!("The value '{other}' of '{KEY}' is not a string.")),
    }
}

/// A text.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub struct Text(pub String);

impl TryFrom<Value> for Text {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        text(value).map(Self)
    }
}

impl PartialSchema for Text {
    fn schema() -> RefOr<Schema> {
        String::schema()
    }
}

impl ToSchema for Text {}

/// Letters, digits and `._~-`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(try_from = "Value")]
#[schema(min_length = 1, max_length = 255, pattern = r"^[a-zA-Z\u4e00-\u9fa5\d._~-]*$")]
pub struct Name(pub String);

impl TryFrom<Value> for Name {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let name = text(value)?;
        let fine = |c: char| {
            c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '~' | '-') || ('\u{4e00}'..='\u{9fa5}').contains(&c)
        };
        if name.is_empty() || name.chars().count() > 255 {
            return Err(format!("The value of '{KEY}' must have 1 to 255 characters."));
        }
        if !name.chars().all(fine) {
            return Err(format!(
                "The value '{name}' of '{KEY}' contains illegal character(s): letters, digits and ._~- are allowed."
            ));
        }
        Ok(Self(name))
    }
}

/// What a node is for, in its owner's words.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(try_from = "Value")]
#[schema(max_length = 64)]
pub struct Role(pub String);

impl TryFrom<Value> for Role {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let role = text(value)?;
        if role.chars().count() > 64 {
            return Err(format!("The value of '{KEY}' must have at most 64 characters."));
        }
        Ok(Self(role))
    }
}

/// What a container says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(try_from = "Value")]
#[schema(min_length = 1, max_length = 1000)]
pub struct Message(pub String);

impl TryFrom<Value> for Message {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let message = text(value)?;
        if message.is_empty() || message.chars().count() > 1000 {
            return Err(format!("The '{KEY}' must have 1 to 1000 characters."));
        }
        Ok(Self(message))
    }
}

/// A map, or JSON text of one. The document knows this name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "Value")]
pub struct Object(pub Map);

impl TryFrom<Value> for Object {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let read = match &value {
            Value::String(text) => document::parse(text),
            other => Some(other.clone()),
        };
        match read {
            Some(Value::Object(map)) => Ok(Self(map)),
            _ => Err(format!("The value '{}' of '{KEY}' is not a map.", shown(value))),
        }
    }
}

/// A whole number from `MIN` to `MAX`, or its digits. `SHOWN_MAX` is the most
/// that the document tells of, where that depends on settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub struct Int<const MIN: i32, const MAX: i32, const SHOWN_MAX: i32>(pub i32);

/// Zero or more.
pub type Whole = Int<0, { i32::MAX }, { i32::MAX }>;
/// One or more.
pub type Positive = Int<1, { i32::MAX }, { i32::MAX }>;
/// Members of a cluster.
pub type Size = Int<0, { i32::MAX }, 1000>;
/// Members of a cluster at most; -1 for no bound.
pub type MaxSize = Int<-1, { i32::MAX }, 1000>;
/// Seconds for which a member may protect itself: two days at most.
pub type Protection = Int<0, 172_800, 172_800>;

impl<const MIN: i32, const MAX: i32, const SHOWN_MAX: i32> TryFrom<Value> for Int<MIN, MAX, SHOWN_MAX> {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let shown = shown(value);
        let Ok(number) = shown.trim().parse::<i64>() else {
            return Err(format!("The value for {KEY} must be an integer: '{shown}'."));
        };
        if number < i64::from(MIN) {
            return Err(format!("Value must be >= {MIN} for field '{KEY}'."));
        }
        match i32::try_from(number) {
            Ok(number) if number <= MAX => Ok(Self(number)),
            _ => Err(format!("Value must be <= {MAX} for field '{KEY}'.")),
        }
    }
}

impl<const MIN: i32, const MAX: i32, const SHOWN_MAX: i32> PartialSchema for Int<MIN, MAX, SHOWN_MAX> {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32)))
            .minimum(Some(MIN))
            .maximum((SHOWN_MAX < i32::MAX).then_some(SHOWN_MAX))
            .into()
    }
}

impl<const MIN: i32, const MAX: i32, const SHOWN_MAX: i32> ToSchema for Int<MIN, MAX, SHOWN_MAX> {}

/// A number, or its digits.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize, ToSchema)]
#[serde(try_from = "Value")]
pub struct Number(pub f64);

impl TryFrom<Value> for Number {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let number = match &value {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.trim().parse().ok().filter(|n: &f64| n.is_finite()),
            _ => None,
        };
        number
            .map(Self)
            .ok_or_else(|| format!("The value {value} of '{KEY}' is not a number."))
    }
}

/// True or false, in Senlin's many words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(try_from = "Value")]
pub struct Flag(pub bool);

impl TryFrom<Value> for Flag {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let shown = shown(value);
        match shown.trim().to_lowercase().as_str() {
            "1" | "t" | "true" | "on" | "y" | "yes" => Ok(Self(true)),
            "0" | "f" | "false" | "off" | "n" | "no" => Ok(Self(false)),
            _ => Err(format!(
                "Unrecognized value '{shown}', acceptable values are: '0', '1', 'f', 'false', 'n', 'no', 'off', \
                 'on', 't', 'true', 'y', 'yes'"
            )),
        }
    }
}

/// Ids or names, each once. None at all is as wrong as an empty list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(try_from = "Option<Value>")]
#[schema(description = "Ids or names, each once.", min_items = 1, max_items = 1000)]
pub struct Identities(pub Vec<String>);

impl TryFrom<Option<Value>> for Identities {
    type Error = String;

    fn try_from(value: Option<Value>) -> Result<Self, String> {
        let list = match value.unwrap_or_else(|| Vec::<Value>::new().into()) {
            Value::Array(list) => list,
            // Senlin reads a text as the list of its letters. Where it refuses that, its words are kept.
            Value::String(text) if text.chars().collect::<BTreeSet<_>>().len() < text.chars().count() => {
                return Err(format!("Items for '{KEY}' must be unique"));
            }
            other => {
                return Err(format!(
                    "A list is required in field {KEY}, not a {}",
                    type_name(&other)
                ));
            }
        };
        if list.is_empty() {
            return Err(format!("Value for '{KEY}' must have at least 1 item(s)."));
        }
        if list.len() > MAX_NAMES {
            return Err(format!("Value for '{KEY}' must have at most {MAX_NAMES} item(s)."));
        }
        let mut seen = BTreeSet::new();
        for item in &list {
            let Value::String(name) = item else {
                return Err(format!(
                    "A string is required in field {KEY}, not a {}",
                    type_name(item)
                ));
            };
            if !seen.insert(name) {
                return Err(format!("Items for '{KEY}' must be unique"));
            }
        }
        Ok(Self(list.into_iter().map(shown).collect()))
    }
}

/// Old members and what takes their places, each once.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub struct Replacements(pub Vec<(String, String)>);

impl TryFrom<Value> for Replacements {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        let Object(map) = Object::try_from(value).unwrap_or_default();
        if map.is_empty() {
            return Err("The data provided is not a map".to_owned());
        }
        if map.len() > MAX_NAMES {
            return Err(format!("Value for '{KEY}' must have at most {MAX_NAMES} item(s)."));
        }
        let mut pairs = Vec::new();
        for (old, new) in map {
            let Value::String(new) = new else {
                return Err(format!("Field `{KEY}[{old}]' cannot be None"));
            };
            pairs.push((old, new));
        }
        let unique: BTreeSet<&String> = pairs.iter().map(|(_, new)| new).collect();
        if unique.len() < pairs.len() {
            return Err("Map contains duplicated values".to_owned());
        }
        Ok(Self(pairs))
    }
}

/// Ids of projects.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(try_from = "Value")]
pub struct Projects(pub Vec<String>);

impl TryFrom<Value> for Projects {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        serde_json::from_value(value)
            .map(Self)
            .map_err(|_source| format!("'{KEY}' must be a list of project ids, or of '*'."))
    }
}

/// How grave an event is that a container reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the contract's own words")]
pub enum Severity {
    Debug,
    #[default]
    Info,
    Warn,
    Error,
}

impl Severity {
    /// The name on the wire and in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }
}

/// A container's answer to the question whether it may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum LifecycleResult {
    /// It may go.
    Continue,
    /// It needs more time.
    Heartbeat,
}

/// A value that a microversion brought: only from there on it matters what it
/// is. It is read when the version is known.
#[derive(Debug, Deserialize)]
#[serde(transparent, bound = "")]
pub struct Newer<T> {
    value: Value,
    #[serde(skip)]
    kind: PhantomData<T>,
}

impl<T: TryFrom<Value, Error = String>> Newer<T> {
    /// The value.
    ///
    /// # Errors
    /// What its kind says.
    pub fn read(self) -> Result<T, String> {
        T::try_from(self.value)
    }
}

#[cfg(test)]
mod tests;
