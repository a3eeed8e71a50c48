//! Base64.

use super::{Called, Overload, Sig, function, unfit};
use crate::budget::Budget;
use crate::fault::Failure;
use crate::value::Value;
use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

pub(super) const FUNCTIONS: &[Overload] = &[
    function("base64.encode", &[Sig::Bytes], Sig::String, encode),
    function("base64.decode", &[Sig::String], Sig::Bytes, decode),
];

/// Writes padding, and reads text with and without.
const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

fn encode<'e>(args: &[Value<'e>], budget: &Budget) -> Called<'e> {
    let [Value::Bytes(bytes)] = args else {
        return unfit();
    };
    budget.grow(bytes.len().saturating_mul(2))?;
    Ok(Value::from(ENGINE.encode(bytes)))
}

fn decode<'e>(args: &[Value<'e>], budget: &Budget) -> Called<'e> {
    let [Value::String(text)] = args else {
        return unfit();
    };
    budget.grow(text.as_str().len())?;
    let bytes = ENGINE.decode(text.as_str());
    let bytes = bytes.map_err(|error| Failure::new(format!("the text is not base64: {error}")))?;
    Ok(Value::Bytes(bytes.into()))
}
