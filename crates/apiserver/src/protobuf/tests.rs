use super::*;

/// What is said of a field that is empty the same as not at all.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.values_mut().for_each(tidy);
            map.retain(|_, value| !value.as_object().is_some_and(Map::is_empty));
        }
        Value::Array(list) => list.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn bodies_of_go_clients_are_read() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/protobuf/samples");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|kind| kind == "json") {
            let mut expected: Value =
                serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            let bytes = std::fs::read(path.with_extension("pb")).unwrap();
            let mut found = decode(&bytes).unwrap();
            tidy(&mut expected);
            tidy(&mut found);
            // Fields that Go never leaves out.
            let status = found.as_object_mut().unwrap().remove("status");
            assert!(status.is_none_or(|status| status.to_string().len() < 120));
            assert_eq!(found, expected, "{}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 5);
}

#[test]
fn any_cut_is_an_error_or_an_object() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/protobuf/samples");
    let bytes = std::fs::read(format!("{folder}/deployment.pb")).unwrap();
    for cut in 0..bytes.len() {
        let _ = decode(&bytes[..cut]);
    }
    assert_eq!(
        decode(b"{}"),
        Err(Error::Broken("it does not begin as Kubernetes bodies do"))
    );
}

#[test]
fn other_kinds_have_no_such_form() {
    let bytes = b"k8s\0\x0a\x0b\x0a\x01v\x12\x06Widget";
    assert_eq!(decode(bytes), Err(Error::Unknown("Widget of v".into())));
}

#[test]
fn durations_are_those_of_go() {
    for (nanos, text) in [
        (0, "0s"),
        (1_500_000_000, "1.5s"),
        (90_000_000_000, "1m30s"),
        (3_600_000_000_000, "1h0m0s"),
        (-2_000_000, "-2ms"),
        (1_500, "1.5µs"),
    ] {
        assert_eq!(duration(nanos), text);
    }
}
