use super::*;

fn arguments(kind: Option<&str>, type_: Option<&str>) -> Schema {
    Schema {
        kind: kind.map(str::to_owned),
        component_type: type_.map(str::to_owned),
        filenames: Vec::new(),
        output: None,
        vscode: false,
    }
}

fn schema(kind: Option<&str>, type_: Option<&str>) -> Result<Value> {
    let args = arguments(kind, type_);
    one(&args, &types(&args)?)
}

#[test]
fn kinds_and_types_have_schemas() {
    let component = schema(Some("comp"), None).unwrap();
    assert_eq!(component["properties"]["kind"]["const"], "Component");
    let service = schema(None, Some("deployment/service")).unwrap();
    let parameters = &service["properties"]["spec"]["properties"]["parameters"];
    assert_eq!(parameters["additionalProperties"], false);
    let all = schema(None, None).unwrap();
    let branches = all["allOf"].as_array().unwrap();
    let of_service = branches.iter().find(|branch| {
        let reference = &branch["if"]["properties"]["spec"]["properties"]["componentType"];
        reference["properties"]["name"]["const"] == "deployment/service"
    });
    let spec = &of_service.unwrap()["then"]["properties"]["spec"]["properties"];
    assert_eq!(spec["parameters"], *parameters);
    assert!(branches.len() > choreo_model::registry().len());
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
    let types = types(&args).unwrap();
    let names: Vec<String> = files(&args, &types)
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
    fs::write(&path, "{}").unwrap();
    let told = vscode(root.path(), Path::new("schemas")).unwrap();
    assert!(told.contains("stays as it is"), "{told}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "{}");
}
