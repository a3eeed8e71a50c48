//! Releases: what a component or resource chose must satisfy the schemas frozen with it. Types and
//! traits themselves were looked at when they were applied.

use crate::diagnostic::{Code, Diagnostic};
use crate::schema::Schema;
use choreo_model::release::ComponentReleaseSpec;
use choreo_model::resource::ResourceReleaseSpec;
use choreo_model::shared::SchemaSection;
use serde_json::{Map, Value};

/// Everything wrong with a new release called `object`.
pub(super) fn check(object: &str, spec: &ComponentReleaseSpec) -> Vec<Diagnostic> {
    let profile = spec.component_profile.as_ref();
    let mut diagnostics = values(
        object,
        "spec.componentProfile.parameters",
        spec.component_type.spec.parameters.as_ref(),
        profile.and_then(|profile| profile.parameters.as_ref()),
    );
    for (index, instance) in profile
        .iter()
        .flat_map(|profile| &profile.traits)
        .enumerate()
    {
        let reference = &instance.reference;
        let frozen = spec
            .traits
            .iter()
            .find(|one| one.kind == reference.kind && one.name == reference.name);
        diagnostics.extend(values(
            object,
            &format!("spec.componentProfile.traits[{index}].parameters"),
            frozen.and_then(|frozen| frozen.spec.parameters.as_ref()),
            instance.parameters.as_ref(),
        ));
    }
    diagnostics
}

/// Everything wrong with a new release of a resource called `object`.
pub(super) fn check_resource(object: &str, spec: &ResourceReleaseSpec) -> Vec<Diagnostic> {
    values(
        object,
        "spec.parameters",
        spec.resource_type.spec.parameters.as_ref(),
        spec.parameters.as_ref(),
    )
}

/// What in `given`, defaults filled in, the section's schema does not allow.
fn values(
    object: &str,
    field: &str,
    section: Option<&SchemaSection>,
    given: Option<&Value>,
) -> Vec<Diagnostic> {
    let schema = section.and_then(|section| section.open_api_v3_schema.as_ref());
    // A schema that cannot be read is the mistake of the type, told there.
    let Some(Ok(schema)) = schema.map(Schema::read) else {
        return Vec::new();
    };
    let mut given = given.filter(|given| !given.is_null()).cloned();
    let value = given.get_or_insert_with(|| Value::Object(Map::new()));
    schema.fill(value);
    schema
        .validate(value)
        .into_iter()
        .map(|violation| {
            let field = match violation.field.as_str() {
                "" => field.to_owned(),
                below => format!("{field}.{below}"),
            };
            Diagnostic::error(Code::Parameters, object, field, violation.message)
        })
        .collect()
}
