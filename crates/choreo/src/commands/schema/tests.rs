use super::*;

fn arguments(kind: Option<&str>, type_: Option<&str>) -> Schema {
    Schema {
        kind: kind.map(str::to_owned),
        component_type: type_.map(str::to_owned),
        filenames: Vec::new(),
        output_dir: None,
        vscode: false,
    }
}

fn schema(kind: Option<&str>, type_: Option<&str>) -> Result<Value> {
    let args = arguments(kind, type_);
    one(&args, &objects(&args)?)
}

#[test]
fn kinds_and_types_have_schemas() {
    let component = schema(Some("comp"), None).unwrap();
    assert_eq!(component["properties"]["kind"]["const"], "Component");
    let service = schema(None, Some("deployment/service")).unwrap();
    let parameters = &service["properties"]["spec"]["properties"]["parameters"];
    assert_eq!(parameters["additionalProperties"], false);
    for failure in [
        schema(Some("nope"), None).unwrap_err(),
        schema(None, Some("nope")).unwrap_err(),
    ] {
        assert_eq!(failure.exit(), Exit::NotFound);
    }
}

#[test]
fn one_file_per_kind_and_type_is_written() {
    let args = arguments(None, None);
    let objects = objects(&args).unwrap();
    let names: Vec<String> = files(&args, &objects)
        .unwrap()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    for name in ["component.json", "component-type-service.json", ALL] {
        assert!(names.iter().any(|one| one == name), "{names:?}");
    }
}

#[test]
fn settings_of_an_editor_are_left_alone() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join(".vscode/settings.json");
    vscode(root.path(), Path::new("schemas")).unwrap();
    let written: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(written["yaml.schemas"]["./schemas/all.json"][0], "*.yaml");
    let offered = fs::read_to_string(root.path().join(".vscode/extensions.json")).unwrap();
    assert!(offered.contains("redhat.vscode-yaml"), "{offered}");
    fs::write(&path, "{}").unwrap();
    let told = vscode(root.path(), Path::new("schemas")).unwrap();
    let setting = r#"add "yaml.schemas":{"./schemas/all.json":["*.yaml","*.yml"]}"#;
    assert!(told.ends_with(setting), "{told}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "{}");
}

const FILES: &str = "
apiVersion: openchoreo.dev/v1alpha1
kind: ClusterTrait
metadata: {name: cache}
spec:
  parameters:
    openAPIV3Schema:
      $defs: {Size: {type: integer}}
      type: object
      properties: {size: {$ref: '#/$defs/Size'}}
  environmentConfigs: {openAPIV3Schema: {type: object, properties: {ttl: {type: integer}}}}
---
apiVersion: openchoreo.dev/v1alpha1
kind: Component
metadata: {name: web}
spec:
  owner: {projectName: shop}
  componentType: {kind: ClusterComponentType, name: deployment/service}
  traits: [{kind: ClusterTrait, name: cache, instanceName: near}]
";

/// The schema of everything, with what `FILES` hold.
fn everything() -> Value {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.yaml");
    fs::write(&file, FILES).unwrap();
    let mut args = arguments(None, None);
    args.filenames.push(file);
    all(&objects(&args).unwrap()).unwrap()
}

/// What the branches say that hold for objects of `kind` whose specification is told apart by the
/// value at `pointer` of the condition.
fn branch(kind: &str, pointer: &str, value: &str) -> Value {
    let all = everything();
    let branches = all["allOf"].as_array().unwrap();
    let found = branches.iter().find(|branch| {
        let is = &branch["if"]["properties"];
        is["kind"]["const"] == kind && is["spec"].pointer(pointer).is_some_and(|one| one == value)
    });
    found.unwrap()["then"]["properties"]["spec"].clone()
}

#[test]
fn values_have_the_schema_of_the_type_that_is_named() {
    let parameters = branch(
        "Component",
        "/properties/componentType/properties/name/const",
        "deployment/service",
    );
    assert_eq!(
        parameters["properties"]["parameters"]["additionalProperties"],
        false
    );
    let project = branch(
        "Project",
        "/properties/type/properties/name/const",
        "default",
    );
    assert!(project["properties"]["parameters"].is_object());
    let bound = branch(
        "ReleaseBinding",
        "/properties/owner/properties/componentName/const",
        "web",
    );
    let configs = &bound["properties"]["componentTypeEnvironmentConfigs"]["properties"];
    assert!(configs["replicas"].is_object(), "{bound}");
    let near = &bound["properties"]["traitEnvironmentConfigs"]["properties"]["near"];
    assert_eq!(near["properties"]["ttl"]["type"], "integer");
}

#[test]
fn traits_have_the_parameters_of_their_own() {
    let all = everything();
    let items: Vec<&Value> = all["allOf"]
        .as_array()
        .unwrap()
        .iter()
        .map(|branch| &branch["then"]["properties"]["spec"]["properties"]["traits"]["items"])
        .filter(|items| items["if"]["properties"]["name"]["const"] == "cache")
        .collect();
    let [item] = items.as_slice() else {
        panic!("{items:?}")
    };
    assert_eq!(item["if"]["required"], json!(["name", "kind"]));
    let parameters = &item["then"]["properties"]["parameters"];
    let size = "#/$defs/ClusterTrait.cache.parameters.Size";
    assert_eq!(parameters["properties"]["size"]["$ref"], size);
    assert_eq!(all.pointer(&size[1..]).unwrap()["type"], "integer");
}

#[test]
fn other_objects_may_stand_beside_those_of_the_platform() {
    let all = everything();
    assert!(all["required"].is_null());
    let branches = all["allOf"].as_array().unwrap();
    assert!(
        branches
            .iter()
            .all(|branch| branch["if"]["properties"]["apiVersion"]["const"] == API_VERSION)
    );
}
