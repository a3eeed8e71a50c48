use super::*;

const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../samples/storefront");

fn arguments(target: &str, field: &str, env: Option<&str>) -> Explain {
    Explain {
        target: target.to_owned(),
        field: field.to_owned(),
        env: env.map(str::to_owned),
        namespace: None,
        filenames: vec![SAMPLE.into()],
        output: Format::Text,
    }
}

fn explained(target: &str, field: &str, env: Option<&str>) -> Result<String> {
    let args = arguments(target, field, env);
    let files = Files::read(&args.filenames, "default")?;
    let mut fleet = Fleet::read(files.objects.iter().cloned());
    fleet.bind_everywhere();
    fleet::settle(&mut fleet);
    let answer = answer(&fleet, &args)?;
    Ok(text(&answer, &files.library).replace(SAMPLE, "samples"))
}

#[test]
fn fields_are_followed_to_the_line_that_gives_them() {
    let told = explained("catalog", "deployment.spec.replicas", Some("staging")).unwrap();
    let lines: Vec<&str> = told.lines().skip(1).collect();
    assert!(
        lines[0].starts_with("spec.replicas is 2: set by ReleaseBinding/catalog-staging in "),
        "{told}"
    );
    assert!(
        lines[1].contains("${environmentConfigs.replicas}"),
        "{told}"
    );
    assert!(
        lines[1].contains("(the platform's default service:"),
        "{told}"
    );
    assert!(lines[2].contains("(samples/catalog.yaml:"), "{told}");
    let name = told.lines().next().unwrap();
    assert_eq!(explained(name, ".spec.replicas", None).unwrap(), told);
    let default = explained("catalog", "deployment.spec.replicas", Some("production")).unwrap();
    assert!(
        default.contains("the default that ClusterComponentType/service"),
        "{default}"
    );
}

#[test]
fn what_is_not_there_is_said() {
    let said = |target: &str, field: &str, env: Option<&str>| {
        let failure = explained(target, field, env).unwrap_err();
        (failure.exit(), failure.to_string())
    };
    assert_eq!(
        said("catalog", "job.spec", Some("staging")),
        (Exit::NotFound, "catalog has no job in staging".to_owned())
    );
    assert_eq!(said("deployment/x", ".spec", None).0, Exit::NotFound);
    let (exit, message) = said("catalog", "deployment.spec.nope", Some("staging"));
    assert_eq!(exit, Exit::NotFound);
    assert!(message.contains("there is no nope in spec"), "{message}");
    assert_eq!(said("catalog", ".spec", Some("staging")).0, Exit::Usage);
}
