//! JSON bodies: one value in UTF-8, of bounded size and depth, without unknown or duplicate fields.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap};
use actix_web::web::BytesMut;
use actix_web::{FromRequest, HttpRequest};
use futures_util::StreamExt;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};
use serde_json::{Map, Value};
use serde_path_to_error::{Path, Segment};
use tokio::time::timeout_at;

use crate::http::connection::Progress;
use crate::http::deadline::Deadline;
use crate::http::respond::problem::{FieldError, Problem, ProblemCode, Reason};

/// The maximum size of most bodies, in bytes: hundreds of order lines fit.
const BYTES_MAX: usize = 256 * 1024;
/// The maximum number of characters of a key that a field error repeats.
const ECHO_LENGTH_MAX: usize = 64;

/// The body of a request, of at most `MAX` bytes. An absent body equals `{}`, but for PATCH.
pub struct Body<T, const MAX: usize = BYTES_MAX> {
    pub value: T,
    /// The canonical JSON, independent of white space and of the order of keys, for the fingerprint of a request.
    pub canonical: Vec<u8>,
}

/// The body of a request without members: `{}`, or none. As a query: no parameters.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

impl<T: DeserializeOwned + 'static, const MAX: usize> FromRequest for Body<T, MAX> {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let head = check_head(request.headers(), MAX);
        // No member of a change is required, and a change without any is more likely a lost body.
        let is_required = request.method() == Method::PATCH;
        let Deadline(deadline) = Deadline::of(request);
        let payload = payload.take();
        let progress = request.conn_data::<Rc<Progress>>().cloned();
        Box::pin(async move {
            head?;
            let read = timeout_at(deadline, read(payload, MAX)).await;
            let bytes = read.map_err(|_| ProblemCode::RequestTimeout)??;
            if let Some(progress) = progress {
                progress.finish_body();
            }
            if is_required && bytes.is_empty() {
                return Err(ProblemCode::MalformedJson.into());
            }
            let Body { value, canonical } = parse(&bytes)?;
            Ok(Self { value, canonical })
        })
    }
}

/// Rejects by the headers alone a body that is not JSON, or too large. The body itself is not read yet.
fn check_head(headers: &HeaderMap, bytes_max: usize) -> Result<(), Problem> {
    let has_body = headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > bytes_max as u64) {
        return Err(ProblemCode::BodyTooLarge.into());
    }
    let content_type = headers.get(header::CONTENT_TYPE).map(|value| value.to_str().is_ok_and(is_json));
    let is_plain = headers.get(header::CONTENT_ENCODING).is_none_or(|encoding| encoding == "identity");
    if content_type == Some(false) || has_body && (content_type.is_none() || !is_plain) {
        return Err(ProblemCode::UnsupportedMediaType.into());
    }
    Ok(())
}

/// Whether the content type is `application/json`, with the charset UTF-8 or none.
fn is_json(content_type: &str) -> bool {
    let mut parts = content_type.split(';').map(str::trim);
    let is_json = parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"));
    let is_utf8 = |parameter: &str| match parameter.split_once('=') {
        Some((name, value)) if name.eq_ignore_ascii_case("charset") => {
            value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        }
        _ => true,
    };
    is_json && parts.all(is_utf8)
}

async fn read(mut payload: Payload, bytes_max: usize) -> Result<BytesMut, Problem> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| match error {
            PayloadError::Overflow => ProblemCode::BodyTooLarge,
            _ => ProblemCode::BadRequest,
        })?;
        if bytes.len() + chunk.len() > bytes_max {
            return Err(ProblemCode::BodyTooLarge.into());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// Parses a body; an empty one as `{}`.
///
/// # Errors
/// `MALFORMED_JSON`, `INVALID_BODY`.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<Body<T>, Problem> {
    let tree = if bytes.is_empty() { Value::Object(Map::new()) } else { parse_tree(bytes)? };
    let canonical = serde_json::to_vec(&tree).expect("a JSON value serializes as JSON");
    // Only a field error needs its path, and tracking that allocates at every step.
    let Strict(value) =
        Strict::deserialize(&tree).or_else(|_| serde_path_to_error::deserialize(&tree)).map_err(problem_of_json)?;
    Ok(Body { value, canonical })
}

fn parse_tree(bytes: &[u8]) -> Result<Value, Problem> {
    let UniqueKeys(tree) = serde_json::from_slice(bytes).or_else(|_| locate_error(bytes))?;
    Ok(tree)
}

/// Parses invalid JSON a second time, to locate the error.
fn locate_error(bytes: &[u8]) -> Result<UniqueKeys, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let tree = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        if error.inner().is_data() { problem_of_json(error) } else { Problem::from(ProblemCode::MalformedJson) }
    })?;
    json.end().map_err(|_| ProblemCode::MalformedJson)?;
    Ok(tree)
}

fn problem_of_json(error: serde_path_to_error::Error<serde_json::Error>) -> Problem {
    Problem::of_fields(vec![field_error_of(error.path(), &error.inner().to_string())])
}

/// The field error of an error of serde, by the prefix of its message. The message itself is not returned. Tests cover each
/// prefix.
pub fn field_error_of(path: &Path, message: &str) -> FieldError {
    let missing = message.strip_prefix("missing field `").and_then(|rest| rest.split('`').next());
    let reason = match message {
        _ if missing.is_some() => Reason::Missing,
        _ if message.starts_with("unknown field") => Reason::UnknownField,
        _ if message.starts_with("duplicate") => Reason::DuplicateKey,
        _ if message.starts_with("unknown variant") || message.starts_with("invalid value") => Reason::Invalid,
        _ => Reason::WrongType,
    };
    let mut pointer = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => push_key(&mut pointer, key),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    if let Some(name) = missing {
        push_key(&mut pointer, name);
    }
    FieldError { pointer, reason }
}

/// Appends a key to a JSON pointer (RFC 6901, 3).
pub fn push_key(pointer: &mut String, key: &str) {
    pointer.push('/');
    let key: String = key.chars().take(ECHO_LENGTH_MAX).collect();
    pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
}

/// A JSON value without duplicate keys. The parser bounds its depth.
struct UniqueKeys(Value);

impl<'de> Deserialize<'de> for UniqueKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueKeysVisitor).map(Self)
    }
}

struct UniqueKeysVisitor;

impl<'de> Visitor<'de> for UniqueKeysVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(UniqueKeys(value)) = items.next_element()? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if values.contains_key(&key) {
                entries.next_value_seed(DuplicateKey)?;
            }
            let UniqueKeys(value) = entries.next_value()?;
            values.insert(key, value);
        }
        Ok(values.into())
    }
}

/// Fails in place of the value: the path of the error ends with the key.
struct DuplicateKey;

impl<'de> DeserializeSeed<'de> for DuplicateKey {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, _: D) -> Result<(), D::Error> {
        Err(D::Error::custom("duplicate key"))
    }
}

/// Distinguishes `null` from an absent field; `null` is valid only where the type of the field allows it.
pub fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A struct that is deserialized from an object only. Derived structs also accept an array of their fields.
#[derive(Clone, Debug)]
pub struct Strict<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Strict<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::deserialize(ObjectOnly(deserializer)).map(Self)
    }
}

struct ObjectOnly<D>(D);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for ObjectOnly<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests;
