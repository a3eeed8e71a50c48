//! `choreo apply`: files become objects, by server-side apply under one field manager, so that
//! applying twice changes nothing and fields of controllers stay theirs. What files say holds, also
//! against what was said otherwise since; but nothing is taken back silently.

mod prune;
mod taken;

use std::collections::BTreeSet;

use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams, Request, ValidationDirective},
};
use serde::Serialize;
use serde_json::Value;

pub(crate) use self::{prune::left_out, taken::Taken};
use crate::{
    cli::{Apply, Format},
    client,
    exit::Exit,
    failure::{Failure, Result},
    folder::Folder,
    kinds::{self, Resource},
    manager,
    manifest::{self, Document, Problem},
    terminal,
};

/// How often an object is tried that others change at the same time.
const TRIES: usize = 5;

/// What applying an object did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Change {
    /// `component.openchoreo.dev/catalog`.
    pub(crate) object: String,
    /// Its namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) namespace: Option<String>,
    /// `created`, `configured`, `unchanged` or `deleted`.
    pub(crate) outcome: &'static str,
    /// The fields taken back from others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) taken: Vec<Taken>,
    /// What the API warns of.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) warnings: Vec<String>,
}

impl Change {
    /// The fields taken back, each in a line.
    pub(crate) fn taken_lines(&self) -> impl Iterator<Item = String> {
        self.taken.iter().map(|taken| format!("  {taken}"))
    }
}

/// What the API warned of, each warning once.
pub(crate) fn warnings(changes: &[Change]) -> BTreeSet<&str> {
    let all = changes.iter().flat_map(|change| &change.warnings);
    all.map(String::as_str).collect()
}

/// Runs `choreo apply`.
pub(crate) async fn run(folder: &Folder, args: &Apply) -> Result {
    let documents = manifest::read(&args.filenames)?;
    let client = client::connect(folder).await?;
    let namespace = args.namespace.namespace.as_str();
    let mut changes = apply_all(&client, &documents, namespace, args.dry_run).await?;
    if args.prune.prune {
        let labels = args.prune.selector.clone().unwrap_or_default();
        let wanted = (namespace, &labels);
        changes.extend(prune::prune(&client, &documents, wanted, args.dry_run).await?);
    }
    match args.output {
        data @ (Format::Json | Format::Yaml) => terminal::data(data, &changes),
        Format::Text => {
            for warning in warnings(&changes) {
                terminal::note(format!("warning: {warning}"));
            }
            let suffix = if args.dry_run { " (dry run)" } else { "" };
            changes.iter().try_for_each(|change| {
                terminal::line(format!("{} {}{suffix}", change.object, change.outcome))?;
                change.taken_lines().try_for_each(terminal::line)
            })
        }
    }
}

/// Applies documents in their order, namespaces first. A refused object does not keep the others
/// from being applied; all refusals are reported together.
pub(crate) async fn apply_all(
    client: &Client,
    documents: &[Document],
    namespace: &str,
    dry_run: bool,
) -> Result<Vec<Change>> {
    let mut ordered: Vec<&Document> = documents.iter().collect();
    ordered.sort_by_key(|document| document.kind() != "Namespace");
    let mut changes = Vec::new();
    let mut problems = Vec::new();
    for document in ordered {
        match apply_one(client, document, namespace, dry_run).await {
            Ok(change) => changes.push(change),
            Err(Refused::Here(found)) => problems.extend(found),
            Err(Refused::Everywhere(failure)) => return Err(failure),
        }
    }
    if problems.is_empty() {
        Ok(changes)
    } else {
        Err(Failure::refused(problems, changes.len()))
    }
}

/// What the API would make of documents, without storing it.
pub(crate) async fn rehearse(
    client: &Client,
    documents: &[Document],
    namespace: &str,
) -> Result<Vec<Value>> {
    let mut objects = Vec::new();
    let mut problems = Vec::new();
    for document in documents {
        match rehearse_one(client, document, namespace).await {
            Ok(object) => objects.push(object),
            Err(Refused::Here(found)) => problems.extend(found),
            Err(Refused::Everywhere(failure)) => return Err(failure),
        }
    }
    if problems.is_empty() {
        Ok(objects)
    } else {
        Err(Failure::invalid(problems))
    }
}

async fn rehearse_one(
    client: &Client,
    document: &Document,
    namespace: &str,
) -> std::result::Result<Value, Refused> {
    let resource = resource(client, document).await?;
    let api = api(client, &resource, document.namespace().unwrap_or(namespace));
    let written = write(&api, document, true).await;
    let after = written.map_err(|error| refusal(document, error))?.after;
    serde_json::to_value(after).map_err(|error| {
        let name = format!("{} {}", document.kind(), document.name());
        Refused::Everywhere(
            Failure::new(Exit::Failed, format!("{name} cannot be read")).because(error),
        )
    })
}

/// Why an object was not applied.
enum Refused {
    /// Because of what the file says.
    Here(Vec<Problem>),
    /// Because of something that concerns all objects.
    Everywhere(Failure),
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Everywhere(failure)
    }
}

async fn apply_one(
    client: &Client,
    document: &Document,
    namespace: &str,
    dry_run: bool,
) -> std::result::Result<Change, Refused> {
    let resource = resource(client, document).await?;
    let namespace = document.namespace().unwrap_or(namespace);
    let api = api(client, &resource, namespace);
    let written = write(&api, document, dry_run).await;
    let Written {
        before,
        after,
        taken,
        warnings,
    } = written.map_err(|error| refusal(document, error))?;
    let after = content(after);
    let outcome = match before.map(content) {
        None => "created",
        Some(before) if before == after => "unchanged",
        Some(_) => "configured",
    };
    Ok(Change {
        object: format!("{}/{}", resource.qualified(), document.name()),
        namespace: resource.namespaced.then(|| namespace.to_owned()),
        outcome,
        taken,
        warnings,
    })
}

/// An object as it was and as it is.
struct Written {
    before: Option<DynamicObject>,
    after: DynamicObject,
    taken: Vec<Taken>,
    warnings: Vec<String>,
}

/// What an object says, without the API's own notes of when and by whom.
fn content(mut object: DynamicObject) -> DynamicObject {
    object.metadata.managed_fields = None;
    object.metadata.resource_version = None;
    object.metadata.generation = None;
    object
}

/// Writes an object. Fields that somebody else has set otherwise are taken over in a second attempt,
/// which holds for the object of which was told what is taken, and for no later one.
async fn write(
    api: &Api<DynamicObject>,
    document: &Document,
    dry_run: bool,
) -> kube::Result<Written> {
    let mut tries = 0;
    loop {
        tries += 1;
        let before = api.get_opt(document.name()).await?;
        let mut object = document.object();
        let written = |(after, warnings), taken| Written {
            before: before.clone(),
            after,
            taken,
            warnings,
        };
        let conflict = match patch(api, &object, dry_run, false).await {
            Ok(after) => return Ok(written(after, Vec::new())),
            Err(kube::Error::Api(status)) if taken::is_conflict(&status) => status,
            Err(error) => return Err(error),
        };
        let taken = taken::of(&conflict, before.as_ref(), &object);
        if let Some(version) = before
            .as_ref()
            .and_then(|it| it.metadata.resource_version.clone())
        {
            object["metadata"]["resourceVersion"] = Value::from(version);
        }
        match patch(api, &object, dry_run, true).await {
            Ok(after) => return Ok(written(after, taken)),
            Err(kube::Error::Api(status)) if status.code == 409 && tries < TRIES => {}
            Err(error) => return Err(error),
        }
    }
}

async fn patch(
    api: &Api<DynamicObject>,
    object: &Value,
    dry_run: bool,
    force: bool,
) -> kube::Result<(DynamicObject, Vec<String>)> {
    let params = PatchParams {
        dry_run,
        force,
        field_manager: Some(manager::FILES.to_owned()),
        field_validation: Some(ValidationDirective::Strict),
    };
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let request = Request::new(api.resource_url())
        .patch(name, &params, &Patch::Apply(object))
        .map_err(kube::Error::BuildRequest)?;
    client::answer(&api.clone().into_client(), request).await
}

/// The API's resource of a document, or a problem at its kind.
async fn resource(client: &Client, document: &Document) -> std::result::Result<Resource, Refused> {
    let found = kinds::of_object(client, document.api_version(), document.kind()).await?;
    found.ok_or_else(|| {
        let message = format!(
            "the platform serves no `{}` of `{}`",
            document.kind(),
            document.api_version()
        );
        Refused::Here(vec![document.problem(document.start(), message)])
    })
}

/// The collection an object of a resource is in.
pub(crate) fn api(client: &Client, resource: &Resource, namespace: &str) -> Api<DynamicObject> {
    if resource.namespaced {
        Api::namespaced_with(client.clone(), namespace, &resource.api)
    } else {
        Api::all_with(client.clone(), &resource.api)
    }
}

/// Turns an answer of the API into problems at the fields it names.
fn refusal(document: &Document, error: kube::Error) -> Refused {
    if let kube::Error::Api(status) = &error
        && matches!(status.code, 400 | 403 | 404 | 409 | 422)
    {
        let causes = status.details.iter().flat_map(|details| &details.causes);
        let mut problems: Vec<Problem> = causes
            .map(|cause| document.problem_at(&cause.field, cause.message.clone()))
            .collect();
        if problems.is_empty() {
            problems.push(document.problem_at("", status.message.clone()));
        }
        return Refused::Here(problems);
    }
    let failure = Failure::from(error);
    let name = format!("{} {} was not applied", document.kind(), document.name());
    let exit = failure.exit();
    Refused::Everywhere(if exit == Exit::Failed {
        Failure::new(exit, name).because(failure)
    } else {
        failure
    })
}

#[cfg(test)]
mod tests {
    use choreo_model::{application::WorkloadSpec, release::ReleaseBindingSpec};
    use serde_json::json;

    use super::*;
    use crate::{cli::Labels, store, testing};

    const WORKLOAD: &str = "
apiVersion: openchoreo.dev/v1alpha1
kind: Workload
metadata: {name: web}
spec:
  owner: {projectName: shop, componentName: web}
  container:
    image: web:1
    env: [{key: MODE, value: fast}]
";

    async fn deploy(api: &testing::Api, image: &str) {
        let change = json!({"spec": {"container": {"image": image}}});
        let place = ("default", "web");
        store::merge::<WorkloadSpec>(&api.client, place, change, manager::DEPLOY)
            .await
            .unwrap();
    }

    async fn image(api: &testing::Api) -> String {
        let found = store::get::<WorkloadSpec>(&api.client, "default", "web").await;
        found.unwrap().spec.template.container.image.clone()
    }

    #[tokio::test]
    async fn what_is_taken_back_is_told() {
        let api = testing::Api::start().await;
        assert_eq!(api.apply(WORKLOAD).await.unwrap()[0].outcome, "created");
        assert_eq!(api.apply(WORKLOAD).await.unwrap()[0].outcome, "unchanged");
        deploy(&api, "web:2").await;
        let change = api.apply(WORKLOAD).await.unwrap().remove(0);
        assert_eq!(change.outcome, "configured");
        let lines: Vec<String> = change.taken_lines().collect();
        let line = "  spec.container.image: web:2 -> web:1, which `choreo deploy` had set";
        assert_eq!(lines, [line]);
        assert_eq!(image(&api).await, "web:1");
        assert_eq!(api.apply(WORKLOAD).await.unwrap()[0].outcome, "unchanged");
        api.stop().await;
    }

    #[tokio::test]
    async fn what_the_api_warns_of_is_told_once() {
        let api = testing::Api::start().await;
        let types: Vec<String> = ["one", "two"]
            .iter()
            .map(|name| {
                format!(
                    "
apiVersion: openchoreo.dev/v1alpha1
kind: ComponentType
metadata: {{name: {name}}}
spec:
  workloadType: proxy
  resources:
  - id: one
    template: {{apiVersion: v1, kind: ConfigMap, metadata: {{name: 'ä${{metadata.name'}}}}
"
                )
            })
            .collect();
        let changes = api.apply(&types.join("---")).await.unwrap();
        assert_eq!(changes[0].warnings.len(), 1, "{changes:?}");
        assert!(changes[0].warnings[0].contains("${"), "{changes:?}");
        let told = warnings(&changes);
        assert_eq!(told.len(), 2, "{told:?}");
        let again = api.apply(&types[0]).await.unwrap();
        assert_eq!(again[0].outcome, "unchanged");
        api.stop().await;
    }

    #[tokio::test]
    async fn what_files_leave_out_goes_when_asked_for() {
        let api = testing::Api::start().await;
        api.apply(testing::SHOP).await.unwrap();
        let other = WORKLOAD
            .replace("name: web}", "name: other, labels: {team: b}}")
            .replace("componentName: web", "componentName: other");
        api.apply(&other).await.unwrap();
        let kept = testing::SHOP.split("---").next().unwrap();
        let documents = api.documents(kept);
        let names = |changes: &[Change]| {
            let names = changes.iter().map(|change| change.object.clone());
            names.collect::<Vec<_>>()
        };
        let prune = |labels: Labels, dry_run| {
            let (client, documents) = (api.client.clone(), documents.clone());
            async move { prune::prune(&client, &documents, ("default", &labels), dry_run).await }
        };
        let of_b = Labels::from([("team".to_owned(), "b".to_owned())]);
        let gone = prune(of_b.clone(), true).await.unwrap();
        assert_eq!(names(&gone), ["workload.openchoreo.dev/other"]);
        let gone = prune(of_b, false).await.unwrap();
        assert_eq!(gone[0].outcome, "deleted");
        let gone = prune(Labels::new(), false).await.unwrap();
        assert_eq!(
            names(&gone),
            [
                "component.openchoreo.dev/web",
                "workload.openchoreo.dev/web"
            ]
        );
        assert_eq!(prune(Labels::new(), false).await.unwrap(), []);
        api.stop().await;
    }

    #[tokio::test]
    async fn what_files_do_not_contradict_stays() {
        let api = testing::Api::start().await;
        api.apply(WORKLOAD).await.unwrap();
        deploy(&api, "web:2").await;
        let other = WORKLOAD.replace("web:1", "web:2").replace("fast", "slow");
        let change = api.apply(&other).await.unwrap().remove(0);
        assert_eq!((change.outcome, change.taken), ("configured", Vec::new()));
        assert_eq!(image(&api).await, "web:2");
        api.stop().await;
    }

    #[tokio::test]
    async fn a_rehearsal_tells_it_and_changes_nothing() {
        let api = testing::Api::start().await;
        api.apply(WORKLOAD).await.unwrap();
        deploy(&api, "web:2").await;
        let told = api.rehearse(WORKLOAD).await.unwrap().remove(0);
        assert_eq!(told.outcome, "configured");
        assert_eq!(told.taken[0].field, "spec.container.image");
        assert_eq!(image(&api).await, "web:2");
        api.stop().await;
    }

    #[tokio::test]
    async fn a_promoted_release_survives_files_that_do_not_name_one() {
        let api = testing::Api::start().await;
        let spec = json!({
            "owner": {"projectName": "shop", "componentName": "web"},
            "environment": "staging", "releaseName": "web-1",
        });
        let place = ("default", "web-staging");
        store::apply::<ReleaseBindingSpec>(&api.client, place, spec, manager::PROMOTE)
            .await
            .unwrap();
        let file = "
apiVersion: openchoreo.dev/v1alpha1
kind: ReleaseBinding
metadata: {name: web-staging}
spec:
  owner: {projectName: shop, componentName: web}
  environment: staging
";
        for _ in 0..2 {
            assert_eq!(api.apply(file).await.unwrap()[0].taken, []);
        }
        let binding = store::get::<ReleaseBindingSpec>(&api.client, "default", "web-staging")
            .await
            .unwrap();
        assert_eq!(binding.spec.release_name, "web-1");
        api.stop().await;
    }
}
