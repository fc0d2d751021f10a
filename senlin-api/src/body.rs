//! Reading bodies into the structs that describe them: what is unknown, missing
//! or of the wrong kind is named, with Senlin's messages.

use std::{fmt, vec};

use senlin_core::Map;
use senlin_openapi::{
    Microversion,
    values::{KEY, Newer},
};
use serde::{
    Deserializer,
    de::{
        self, DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, Visitor,
        value::{MapAccessDeserializer, StrDeserializer},
    },
    forward_to_deserialize_any,
};
use serde_json::Value;

use crate::{
    error::{ApiError, Result},
    request::Call,
};

/// What is wrong with a body.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Keys that nobody asked for.
    #[error("Additional properties are not allowed ({} unexpected)", were(.0))]
    Unknown(Vec<String>),
    /// A key that must be there.
    #[error("'{0}' is a required property")]
    Missing(String),
    /// A word that is none of those.
    #[error("Unrecognized action '{0}' specified")]
    Word(String, &'static [&'static str]),
    /// What a kind of value says.
    #[error("{0}")]
    Value(String),
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        Self::BadRequest(error.to_string())
    }
}

/// `'a', 'b' were`
fn were(keys: &[String]) -> String {
    let verb = if keys.len() == 1 { "was" } else { "were" };
    format!("'{}' {verb}", keys.join("', '"))
}

/// `A, B or C`
fn any_of(words: &[&str]) -> String {
    match words {
        [first @ .., last] if !first.is_empty() => format!("{} or {last}", first.join(", ")),
        _ => words.concat(),
    }
}

impl BodyError {
    /// The same of the field of that name.
    fn of(self, key: &str) -> Self {
        match self {
            Self::Value(text) => Self::Value(text.replace(KEY, key)),
            Self::Word(word, words) => Self::Value(format!("The '{key}' must be {}, not '{word}'.", any_of(words))),
            other => other,
        }
    }
}

impl de::Error for BodyError {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::Value(text.to_string())
    }

    fn unknown_field(field: &str, _: &'static [&'static str]) -> Self {
        Self::Unknown(vec![field.to_owned()])
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::Word(variant.to_owned(), expected)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Missing(field.to_owned())
    }
}

/// A body, or a map within it.
struct Body(Map);

impl<'de> Deserializer<'de> for Body {
    type Error = BodyError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BodyError> {
        visitor.visit_map(Entries::new(self.0.into_iter().map(present)))
    }

    /// All unknown keys first, then the fields in the struct's order, those too
    /// that are not there: `serde(default)` has no effect.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, BodyError> {
        let mut map = self.0;
        let known: Vec<_> = fields.iter().map(|f| ((*f).to_owned(), map.remove(*f))).collect();
        let unknown: Vec<String> = map.keys().cloned().collect();
        let entries = Entries::new(map.into_iter().map(present).chain(known));
        visitor.visit_map(entries).map_err(|error| match error {
            // A struct that minds says so of the first one.
            BodyError::Unknown(_) if !unknown.is_empty() => BodyError::Unknown(unknown),
            other => other,
        })
    }

    /// The one key says which variant, its value is what that holds.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, BodyError> {
        visitor.visit_enum(MapAccessDeserializer::new(Entries::new(
            self.0.into_iter().map(present),
        )))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map identifier ignored_any
    }
}

type Entry = (String, Option<Value>);

fn present((key, value): (String, Value)) -> Entry {
    (key, Some(value))
}

/// Keys with their values, or with none.
struct Entries {
    left: vec::IntoIter<Entry>,
    current: Option<Entry>,
}

impl Entries {
    fn new(entries: impl Iterator<Item = Entry>) -> Self {
        Self {
            left: entries.collect::<Vec<_>>().into_iter(),
            current: None,
        }
    }
}

impl<'de> MapAccess<'de> for Entries {
    type Error = BodyError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, BodyError> {
        self.current = self.left.next();
        let key = self.current.as_ref().map(|(key, _)| key.as_str().into_deserializer());
        key.map(|key: StrDeserializer<'_, _>| seed.deserialize(key)).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, BodyError> {
        let (key, value) = self.current.take().unwrap_or_default();
        let field = Field { key: &key, value };
        seed.deserialize(field).map_err(|error| error.of(&key))
    }
}

/// What is under a key, if that is there. Null is as good as nothing where that is.
struct Field<'a> {
    key: &'a str,
    value: Option<Value>,
}

impl Field<'_> {
    fn required(self) -> Result<Value, BodyError> {
        match self.value {
            None => Err(BodyError::Missing(self.key.to_owned())),
            Some(Value::Null) => Err(BodyError::Value(format!("'{KEY}' cannot be null."))),
            Some(value) => Ok(value),
        }
    }
}

impl<'de> Deserializer<'de> for Field<'_> {
    type Error = BodyError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BodyError> {
        self.required()?
            .deserialize_any(visitor)
            .map_err(de::Error::custom::<serde_json::Error>)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BodyError> {
        match self.value {
            None | Some(Value::Null) => visitor.visit_none(),
            Some(_) => visitor.visit_some(self),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, BodyError> {
        match self.required()? {
            Value::Object(map) => Body(map).deserialize_struct(name, fields, visitor),
            other => Err(BodyError::Value(format!(
                "The value '{other}' of '{KEY}' is not a map."
            ))),
        }
    }

    /// One of a few words, in capitals or not.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        words: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, BodyError> {
        match self.required()? {
            Value::String(text) => {
                let word = words.iter().find(|w| w.eq_ignore_ascii_case(&text));
                let word: StrDeserializer<'_, _> = word.map_or(text.as_str(), |w| *w).into_deserializer();
                visitor.visit_enum(word)
            }
            other => Err(BodyError::Value(format!(
                "The value '{other}' of '{KEY}' is not a string."
            ))),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, BodyError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct
        seq tuple tuple_struct map identifier
    }
}

/// A body that is what it holds.
///
/// # Errors
/// Names what is wrong.
pub fn read<T: DeserializeOwned>(body: Map) -> Result<T, BodyError> {
    T::deserialize(Body(body))
}

impl Call {
    /// What is under `key` of the body.
    ///
    /// # Errors
    /// Names what is wrong.
    pub fn envelope<T: DeserializeOwned>(&self, key: &str) -> Result<T> {
        match self.body.as_ref().and_then(|b| b.get(key)) {
            Some(Value::Object(map)) => Ok(read(map.clone())?),
            Some(_) => Err(ApiError::BadRequest(format!("'{key}' must be a map."))),
            None => Err(ApiError::BadRequest(format!("Request body missing '{key}' key."))),
        }
    }

    /// The same of a change, where Senlin says it in other words.
    ///
    /// # Errors
    /// Names what is wrong.
    pub fn change<T: DeserializeOwned>(&self, key: &str) -> Result<T> {
        if self.body.as_ref().is_none_or(|b| !b.contains_key(key)) {
            return Err(ApiError::BadRequest(format!(
                "Malformed request data, missing '{key}' key in request body."
            )));
        }
        self.envelope(key)
    }

    /// A field that a version brought: below it, it is read past, whatever it holds.
    ///
    /// # Errors
    /// What its kind says.
    pub fn newer<T>(&self, key: &str, field: Option<Newer<T>>, brought: Microversion) -> Result<Option<T>>
    where
        T: TryFrom<Value, Error = String>,
    {
        let known = field.filter(|_| self.version >= brought);
        let read = known.map(Newer::read).transpose();
        read.map_err(|text| BodyError::Value(text).of(key).into())
    }

    /// A field that a version brought: below it, it is refused as any that is unknown.
    ///
    /// # Errors
    /// Names it.
    pub fn known<T>(&self, key: &str, field: Option<T>, brought: Microversion) -> Result<Option<T>> {
        if field.is_some() && self.version < brought {
            return Err(BodyError::Unknown(vec![key.to_owned()]).into());
        }
        Ok(field)
    }
}

/// How a resource words what is wrong with a body of one key (tempest reads them).
pub(crate) struct Words {
    pub(crate) none: &'static str,
    pub(crate) many: &'static str,
    pub(crate) shape: &'static str,
}

impl Words {
    pub(crate) const ACTION: Self = Self {
        none: "No action specified.",
        many: "Multiple actions specified.",
        shape: "The params provided is not a map.",
    };
    pub(crate) const OPERATION: Self = Self {
        none: "No operation specified.",
        many: "Multiple operations specified.",
        shape: "The params provided is not a map.",
    };
}

/// The one key of a body such as `{"resize": {…}}`, and its map.
pub(crate) fn only_key(body: Option<&Map>, words: &Words) -> Result<(String, Map)> {
    let refuse = |text: &str| Err(ApiError::BadRequest(text.to_owned()));
    let mut keys = body.into_iter().flatten();
    let Some((key, value)) = keys.next() else {
        return refuse(words.none);
    };
    if keys.next().is_some() {
        return refuse(words.many);
    }
    match value {
        Value::Object(map) => Ok((key.clone(), map.clone())),
        Value::Null => Ok((key.clone(), Map::new())),
        _ => refuse(words.shape),
    }
}

/// The action that a verb and its parameters are.
pub(crate) fn action<T: DeserializeOwned>(verb: &str, params: Map) -> Result<T> {
    read(Map::from_iter([(verb.to_owned(), params.into())])).map_err(|error| match error {
        // Senlin's own words for this one.
        BodyError::Unknown(keys) if verb == "recover" => {
            ApiError::BadRequest(format!("Action parameter {} is not recognizable.", keys.join(", ")))
        }
        other => other.into(),
    })
}

#[cfg(test)]
mod tests;
