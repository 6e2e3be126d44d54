//! Trees to typed values: a serde deserializer that knows field, line and every mistake in field names.

use super::scalar::{self, Plain};
use super::values::UNUSED;
use super::yaml::{Node, Value, camel};
use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer, Visitor};
use std::cell::RefCell;
use std::fmt;

/// A remark about a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Remark {
    pub(super) path: String,
    pub(super) line: usize,
    pub(super) message: String,
}

/// Everything that was noticed in one document.
#[derive(Debug, Default)]
pub(super) struct Remarks {
    pub(super) errors: Vec<Remark>,
    pub(super) warnings: Vec<Remark>,
}

/// What becomes of keys that the type does not know.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Unknown {
    Refuse,
    /// As well, but for these, which are read elsewhere or not at all.
    RefuseExcept(&'static [&'static str]),
    Warn,
}

/// Reads `node`, which stands at `path`. Field names that the type does not know are all collected; the first value of a wrong type ends the reading.
pub(super) fn decode<T: DeserializeOwned>(
    node: &Node,
    path: &str,
    unknown: Unknown,
    remarks: &mut Remarks,
) -> Option<T> {
    let shared = Shared { unknown, remarks: RefCell::new(std::mem::take(remarks)) };
    let result = T::deserialize(Cursor { node, path: path.to_owned(), shared: &shared });
    *remarks = shared.remarks.into_inner();
    match result {
        Ok(value) => Some(value),
        Err(Error { message, place }) => {
            let (path, line) = place.unwrap_or_else(|| (path.to_owned(), node.line));
            remarks.errors.push(Remark { path, line, message });
            None
        }
    }
}

struct Shared {
    unknown: Unknown,
    remarks: RefCell<Remarks>,
}

/// A node on the way.
struct Cursor<'a> {
    node: &'a Node,
    path: String,
    shared: &'a Shared,
}

#[derive(Debug)]
struct Error {
    message: String,
    place: Option<(String, usize)>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl de::Error for Error {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self { message: message.to_string(), place: None }
    }
}

impl<'a> Cursor<'a> {
    fn wrong(&self, wanted: &str) -> Error {
        let found = match &self.node.value {
            Value::Scalar { text, plain: true } => Plain::of(text).describe(text),
            Value::Scalar { text, plain: false } => Plain::Text.describe(text),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
        };
        let hint = if wanted == "text" && matches!(self.node.value, Value::Scalar { .. }) {
            "; put it in quotes"
        } else {
            ""
        };
        self.error(format!("wants {wanted}, not {found}{hint}"))
    }

    fn error(&self, message: String) -> Error {
        Error { message, place: Some((self.path.clone(), self.node.line)) }
    }

    /// Gives an error of a visitor the place where it arose.
    fn placed<T>(path: &str, line: usize, result: Result<T, Error>) -> Result<T, Error> {
        result.map_err(|mut error| {
            error.place.get_or_insert_with(|| (path.to_owned(), line));
            error
        })
    }

    fn integer(&self) -> Result<i128, Error> {
        let Value::Scalar { text, plain } = &self.node.value else {
            return Err(self.wrong("a whole number"));
        };
        let number = match Plain::of(text) {
            Plain::Integer(number) => Some(number),
            Plain::Float(number) if *plain && number.fract() == 0.0 => Some(number as i128),
            _ => None,
        };
        number.ok_or_else(|| self.wrong("a whole number"))
    }

    fn entries(&self) -> Result<Entries<'a>, Error> {
        let entries = match &self.node.value {
            Value::Map(entries) => entries.as_slice(),
            _ if self.node.is_null() => &[],
            _ => return Err(self.wrong("a mapping")),
        };
        Ok(Entries {
            known: None,
            rest: entries.iter(),
            value: None,
            path: self.path.clone(),
            shared: self.shared,
        })
    }
}

macro_rules! integers {
    ($($method:ident $visit:ident $type:ty),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            let number = self.integer()?;
            let number = <$type>::try_from(number)
                .map_err(|_| self.error(format!("the number {number} is not in the range {} to {}", <$type>::MIN, <$type>::MAX)))?;
            Self::placed(&self.path, self.node.line, visitor.$visit(number))
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Cursor<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::List(_) => self.deserialize_seq(visitor),
            Value::Map(_) => self.deserialize_map(visitor),
            Value::Scalar { text, plain: true } => match Plain::of(text) {
                Plain::Null => visitor.visit_unit(),
                Plain::Bool(value) => visitor.visit_bool(value),
                Plain::Integer(value) => visitor.visit_i128(value),
                Plain::Float(value) => visitor.visit_f64(value),
                Plain::Text => visitor.visit_str(text),
            },
            Value::Scalar { text, .. } => visitor.visit_str(text),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Scalar { text, plain: true } => match Plain::of(text) {
                Plain::Bool(value) => visitor.visit_bool(value),
                _ => Err(self.wrong("true or false")),
            },
            _ => Err(self.wrong("true or false")),
        }
    }

    integers!(
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64, deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64
    );

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let number = match &self.node.value {
            Value::Scalar { text, .. } => {
                scalar::integer(text).map(|number| number as f64).or_else(|| scalar::float(text))
            }
            _ => None,
        };
        visitor.visit_f64(number.ok_or_else(|| self.wrong("a number"))?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match &self.node.value {
            Value::Scalar { text, plain } if !plain || Plain::of(text) == Plain::Text => {
                Self::placed(&self.path, self.node.line, visitor.visit_str(text))
            }
            _ => Err(self.wrong("text")),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.node.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        if name == UNUSED {
            let remark = Remark {
                path: self.path.clone(),
                line: self.node.line,
                message: "known, but not acted on yet".to_owned(),
            };
            self.shared.remarks.borrow_mut().warnings.push(remark);
        }
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        let items = match &self.node.value {
            Value::List(items) => items.as_slice(),
            _ if self.node.is_null() => &[],
            _ => return Err(self.wrong("a list")),
        };
        visitor.visit_seq(Items { rest: items.iter().enumerate(), path: self.path, shared: self.shared })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_map(self.entries()?)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let entries = Entries { known: Some(fields), ..self.entries()? };
        Self::placed(&self.path, self.node.line, visitor.visit_map(entries))
    }

    /// An enum by its name, or by its number: the variants stand in the order of their numbers.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let Value::Scalar { text, .. } = &self.node.value else { return Err(self.wrong("a name")) };
        let by_number = scalar::integer(text).and_then(|number| usize::try_from(number).ok());
        let name = variants.iter().find(|name| *name == text).or_else(|| variants.get(by_number?));
        let Some(name) = name else {
            return Err(self.error(format!("{text:?} is none of {}", variants.join(", "))));
        };
        visitor.visit_enum((*name).into_deserializer())
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct identifier
    }
}

struct Items<'a> {
    rest: std::iter::Enumerate<std::slice::Iter<'a, Node>>,
    path: String,
    shared: &'a Shared,
}

impl<'de> de::SeqAccess<'de> for Items<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let Some((index, node)) = self.rest.next() else { return Ok(None) };
        let cursor = Cursor { node, path: format!("{}[{index}]", self.path), shared: self.shared };
        seed.deserialize(cursor).map(Some)
    }
}

struct Entries<'a> {
    /// The fields of a struct; `None` for a map with any keys.
    known: Option<&'static [&'static str]>,
    rest: std::slice::Iter<'a, (super::yaml::Key, Node)>,
    value: Option<(String, &'a Node)>,
    path: String,
    shared: &'a Shared,
}

impl Entries<'_> {
    fn unknown(&self, name: &str, line: usize, fields: &[&str]) {
        let path = join(&self.path, name);
        let mut remarks = self.shared.remarks.borrow_mut();
        match self.shared.unknown {
            Unknown::RefuseExcept(others) if others.contains(&camel(name).as_str()) => {}
            Unknown::Warn => {
                remarks.warnings.push(Remark { path, line, message: "not acted on".to_owned() });
            }
            Unknown::Refuse | Unknown::RefuseExcept(_) => {
                let known = fields.iter().find(|field| field.eq_ignore_ascii_case(&name.replace('_', "")));
                let hint = known.map(|field| format!("; did you mean `{field}`?")).unwrap_or_default();
                remarks.errors.push(Remark { path, line, message: format!("unknown field{hint}") });
            }
        }
    }
}

impl<'de> de::MapAccess<'de> for Entries<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        while let Some((key, node)) = self.rest.next() {
            let name = match self.known {
                None => key.text.clone(),
                Some(fields) => {
                    let names = [key.text.clone(), camel(&key.text)];
                    match names.into_iter().find(|name| fields.contains(&name.as_str())) {
                        // Null is the same as a field left out.
                        Some(_) if node.is_null() => continue,
                        Some(name) => name,
                        None => {
                            self.unknown(&key.text, key.line, fields);
                            continue;
                        }
                    }
                }
            };
            self.value = Some((join(&self.path, &key.text), node));
            return seed.deserialize(name.into_deserializer()).map(Some);
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let Some((path, node)) = self.value.take() else {
            return Err(de::Error::custom("a value was asked for before its key"));
        };
        seed.deserialize(Cursor { node, path, shared: self.shared })
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
