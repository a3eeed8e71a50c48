//! Content negotiation: which form an answer takes, how a body is read.

use std::sync::Arc;

use http::{HeaderMap, header};
use serde_json::Value;

use super::{form::Form, query::Query};
use crate::{
    body,
    patch::Format,
    protobuf,
    registry::Served,
    status::{Failure, Result},
    table::Include,
};

/// One entry of an Accept header.
#[derive(Debug, Default)]
pub(crate) struct Accepted<'a> {
    pub(crate) media: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl Accepted<'_> {
    pub(crate) fn parameter(&self, name: &str) -> &str {
        let found = self.parameters.iter().find(|(key, _)| *key == name);
        found.map_or("", |(_, value)| value)
    }

    fn is_json(&self) -> bool {
        matches!(self.media, "application/json" | "application/*" | "*/*")
    }
}

/// The entries of the Accept header, in the order the client prefers.
pub(crate) fn accepted(headers: &HeaderMap) -> Vec<Accepted<'_>> {
    let text = headers
        .get(header::ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or("*/*");
    let entries = text.split(',').map(|entry| {
        let mut parts = entry.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let parameters = parts.filter_map(|part| part.split_once('=')).collect();
        Accepted { media, parameters }
    });
    entries.filter(|entry| !entry.media.is_empty()).collect()
}

/// The form of an answer about objects of a kind.
pub(crate) fn form(headers: &HeaderMap, query: &Query, kind: &Served) -> Result<Form> {
    for entry in accepted(headers).iter().filter(|entry| entry.is_json()) {
        let version = match entry.parameter("v") {
            "v1beta1" => "v1beta1",
            "v1" | "" => "v1",
            _ => continue,
        };
        let group = entry.parameter("g");
        if !matches!(group, "" | "meta.k8s.io") {
            continue;
        }
        match entry.parameter("as") {
            "" => return Ok(Form::Whole(Arc::clone(kind.api_version()))),
            "Table" => {
                return Ok(Form::Table {
                    version,
                    include: include(query)?,
                });
            }
            "PartialObjectMetadata" | "PartialObjectMetadataList" => return Ok(Form::Metadata),
            _ => {}
        }
    }
    Err(Failure::not_acceptable())
}

/// Whether the client takes JSON in any shape.
pub(crate) fn takes_json(headers: &HeaderMap) -> bool {
    accepted(headers).iter().any(Accepted::is_json)
}

/// Whether the client takes plain JSON.
pub(crate) fn plain_json(headers: &HeaderMap) -> Result<()> {
    let plain = |entry: &Accepted<'_>| entry.is_json() && entry.parameter("as").is_empty();
    if accepted(headers).iter().any(plain) {
        Ok(())
    } else {
        Err(Failure::not_acceptable())
    }
}

fn include(query: &Query) -> Result<Include> {
    match query.get("includeObject") {
        "" | "Metadata" => Ok(Include::Metadata),
        "None" => Ok(Include::None),
        "Object" => Ok(Include::Object),
        other => Err(Failure::bad_request(format!(
            "includeObject: {other:?} must be one of None, Metadata, Object"
        ))),
    }
}

fn content_type(headers: &HeaderMap) -> &str {
    let text = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    text.unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
}

/// The form Go clients send built-in kinds in.
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

fn unsupported() -> Failure {
    Failure::unsupported_media_type(&["application/json", "application/yaml", PROTOBUF])
}

/// Reads the body of a request that carries an object.
pub(crate) fn object(headers: &HeaderMap, bytes: &[u8]) -> Result<body::Body> {
    match content_type(headers) {
        "" | "application/json" => body::json(bytes),
        "application/yaml" => body::yaml(bytes),
        PROTOBUF => match protobuf::decode(bytes) {
            Ok(value) => Ok(body::Body {
                value,
                duplicates: Vec::new(),
            }),
            Err(protobuf::Error::Unknown(_)) => Err(unsupported()),
            Err(broken) => Err(Failure::bad_request(broken.to_string())),
        },
        _ => Err(unsupported()),
    }
}

/// The format of a PATCH.
pub(crate) fn patch(headers: &HeaderMap, builtin: bool) -> Result<Format> {
    match content_type(headers) {
        "application/json-patch+json" => Ok(Format::Json),
        "application/merge-patch+json" => Ok(Format::Merge),
        "application/strategic-merge-patch+json" if builtin => Ok(Format::Strategic),
        "application/apply-patch+yaml" => Ok(Format::Apply),
        _ => Err(Failure::unsupported_media_type(if builtin {
            &[
                "application/json-patch+json",
                "application/merge-patch+json",
                "application/strategic-merge-patch+json",
                "application/apply-patch+yaml",
            ]
        } else {
            &[
                "application/json-patch+json",
                "application/merge-patch+json",
                "application/apply-patch+yaml",
            ]
        })),
    }
}

/// Reads the body of a PATCH.
pub(crate) fn patch_body(format: Format, bytes: &[u8]) -> Result<body::Body> {
    match format {
        Format::Apply => body::yaml(bytes),
        Format::Json | Format::Merge | Format::Strategic => body::json(bytes),
    }
}

/// A body that may be left out, such as the options of a deletion.
pub(crate) fn optional(headers: &HeaderMap, bytes: &[u8]) -> Result<Value> {
    if bytes.is_empty() {
        Ok(Value::Null)
    } else {
        object(headers, bytes).map(|body| body.value)
    }
}
