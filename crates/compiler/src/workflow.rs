//! The pipeline of a workflow: one run of it, as objects of its plane.

use crate::bench::{Bench, Draft, Ledger, Site};
use crate::canonical;
use crate::context::Variables;
use crate::diagnostic::{Code, Diagnostic};
use crate::finish::{self, text};
use crate::manifests;
use crate::origin::Cause;
use crate::parameters::{self, Section};
use crate::programs::Programs;
use crate::result::Compiled;
use crate::snapshot::WorkflowSnapshot;
use choreo_model::shared::TargetPlane;
use choreo_model::{labels, names};
use choreo_template::{Context, Members, Recorder, Silent, Tree, tree};
use serde_json::{Value, json};

/// The service account that runs work as.
pub const SERVICE_ACCOUNT: &str = "workflow-sa";
/// The id of the object that does the work, in [`CompiledWorkflow::compiled`].
pub const RUN_ID: &str = "run";

/// Everything there is to know about one run of a workflow.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CompiledWorkflow {
    /// What must be on the plane before: the namespace of the runs, and the account they use.
    pub prerequisites: Vec<Value>,
    /// The objects beside the run, by the ids of their templates, and last the one that does the
    /// work, with the id [`RUN_ID`]; and what is wrong with them.
    pub compiled: Compiled,
}

impl CompiledWorkflow {
    /// The object that does the work; none when there are errors.
    pub fn run(&self) -> Option<&Tree> {
        let last = self.compiled.objects.last();
        last.map(|rendered| &rendered.object)
    }
}

/// Renders one run of a workflow.
pub fn compile_workflow(snapshot: &WorkflowSnapshot<'_>, programs: &Programs) -> CompiledWorkflow {
    compile::<Silent>(snapshot, programs)
}

/// The same, with where every field came from.
pub fn explain_workflow(snapshot: &WorkflowSnapshot<'_>, programs: &Programs) -> CompiledWorkflow {
    compile::<Recorder>(snapshot, programs)
}

fn compile<L: Ledger>(snapshot: &WorkflowSnapshot<'_>, programs: &Programs) -> CompiledWorkflow {
    let mut compiled = Compiled {
        namespace: names::workflow_namespace(snapshot.run.namespace()),
        ..Compiled::default()
    };
    let object = workflow_object(snapshot);
    let mut bench = Bench::<L>::default();
    bench.open(programs, &object, &snapshot.workflow.spec);
    let mut variables = variables(snapshot, &object, &compiled.namespace, &mut bench);
    let references = external_references(snapshot, &object, &variables, &mut bench);
    variables.set("externalRefs", references);
    bench.keep(&variables);
    let mut context = Context::within(bench.budget.clone());
    variables.bind(&mut context);
    let resources = &snapshot.workflow.spec.resources;
    let mut drafts = manifests::make(&mut bench, &object, resources, &context);
    drafts.retain(|draft| is_named(&draft.object));
    drafts.extend(run(snapshot, &object, &context, &mut bench));
    finish::check(&mut bench, &object, &drafts);
    compiled.diagnostics.append(&mut bench.diagnostics);
    if compiled.has_errors() {
        return CompiledWorkflow {
            compiled,
            ..CompiledWorkflow::default()
        };
    }
    let site = Site {
        object: &object,
        pointer: "/spec",
    };
    for draft in &mut drafts {
        let is_run = draft.id == RUN_ID;
        let origin = || bench.origin(Cause::Template, site);
        draft.change(origin, None, |object| {
            values_to_text(object);
            let metadata = object
                .as_object_mut()
                .and_then(|all| all.get_mut("metadata"));
            if let Some(metadata) = metadata.and_then(Tree::as_object_mut) {
                metadata.insert("namespace", &compiled.namespace);
            }
            if is_run {
                finish_run(object);
            }
        });
    }
    finish::label(&mut drafts, &run_labels(snapshot));
    compiled.provenance.seen = bench.seen;
    finish::hand_over(drafts, &mut compiled);
    CompiledWorkflow {
        prerequisites: prerequisites(&compiled.namespace),
        compiled,
    }
}

fn workflow_object(snapshot: &WorkflowSnapshot<'_>) -> String {
    let workflow = snapshot.workflow;
    format!("{}/{}", workflow.kind(), workflow.name())
}

fn run_object(snapshot: &WorkflowSnapshot<'_>) -> String {
    format!("WorkflowRun/{}", snapshot.run.name())
}

fn variables<L: Ledger>(
    snapshot: &WorkflowSnapshot<'_>,
    object: &str,
    namespace: &str,
    bench: &mut Bench<L>,
) -> Variables {
    let run = snapshot.run;
    let mut variables = Variables::default();
    variables.set(
        "metadata",
        tree!({
            "labels": &run.metadata.labels.clone().unwrap_or_default(),
            "namespace": namespace,
            "namespaceName": run.namespace(),
            "workflowRunName": run.name(),
        }),
    );
    let store = snapshot.plane.spec.secret_store_ref.as_ref();
    let store = store.map(|store| store.name.as_str()).unwrap_or_default();
    variables.set("workflowplane", tree!({"secretStore": store}));
    let section = Section {
        declared: object,
        schema_field: "spec.parameters",
        given: &run_object(snapshot),
        field: "spec.workflow.parameters",
    };
    let declared = snapshot.workflow.spec.parameters.as_ref();
    let given = run.spec.workflow.parameters.as_ref();
    let filled = parameters::filled(bench, declared, given, section);
    variables.set("parameters", filled);
    variables
}

/// The variable `externalRefs`: the specifications of the objects the workflow refers to, by id. A
/// reference whose name comes out empty is left out.
fn external_references<L: Ledger>(
    snapshot: &WorkflowSnapshot<'_>,
    object: &str,
    variables: &Variables,
    bench: &mut Bench<L>,
) -> Tree {
    let mut context = Context::within(bench.budget.clone());
    variables.bind(&mut context);
    let mut found = Members::default();
    let references = &snapshot.workflow.spec.external_refs;
    for (index, reference) in references.iter().enumerate() {
        let pointer = format!("/spec/externalRefs/{index}/name");
        let site = Site {
            object,
            pointer: &pointer,
        };
        let name = match bench.eval(site, &Value::from(reference.name.as_str()), &context) {
            Some(Some(Tree::String(name))) => name,
            Some(Some(other)) => {
                bench.fail(
                    Code::Expression,
                    site,
                    format!("must be a text, found {other}"),
                );
                continue;
            }
            Some(None) | None => continue,
        };
        if name.is_empty() {
            continue;
        }
        let mut candidates = snapshot.secret_references.iter();
        match candidates.find(|one| one.name() == name.as_ref()) {
            Some(one) => {
                let spec = Tree::of(&one.spec).unwrap_or_default();
                found.insert(&reference.id, tree!({ "spec": spec }));
            }
            None => bench.diagnostics.push(
                Diagnostic::error(
                    Code::Reference,
                    run_object(snapshot),
                    "",
                    format!("SecretReference {name:?} not found"),
                )
                .with_hint(format!("{object} asks for it as {:?}", reference.id)),
            ),
        }
    }
    found.into()
}

/// The object that does the work; none when it fails.
fn run<L: Ledger>(
    snapshot: &WorkflowSnapshot<'_>,
    object: &str,
    context: &Context<'_, '_>,
    bench: &mut Bench<L>,
) -> Option<Draft> {
    let site = Site {
        object,
        pointer: "/spec/runTemplate",
    };
    let template = &snapshot.workflow.spec.run_template;
    bench.forget();
    let run = bench.eval(site, template, context)??;
    Some(Draft {
        id: RUN_ID.to_owned(),
        plane: TargetPlane::DataPlane,
        trail: bench.trail(Cause::Template, site, (template, &run)),
        object: run,
    })
}

/// An object whose name is made of something that was not given is not wanted.
fn is_named(object: &Tree) -> bool {
    let name = text(object, &["metadata", "name"]);
    !name.is_empty() && !name.starts_with('-')
}

/// What carries arguments takes texts only: lists and maps under `value` become their JSON.
fn values_to_text(value: &mut Tree) {
    match value {
        Tree::Object(members) => {
            for (name, inner) in members.iter_mut() {
                if name == "value" && (inner.is_object() || inner.is_array()) {
                    *inner = Tree::from(canonical::text(inner));
                } else {
                    values_to_text(inner);
                }
            }
        }
        Tree::Array(items) => items.edit().iter_mut().for_each(values_to_text),
        Tree::Null | Tree::Bool(_) | Tree::Number(_) | Tree::String(_) => {}
    }
}

/// A run works as the account of the runs, whatever its template says, and its arguments are texts.
fn finish_run(run: &mut Tree) {
    let Some(run) = run.as_object_mut() else {
        return;
    };
    if !run.get("spec").is_some_and(Tree::is_object) {
        run.insert("spec", tree!({}));
    }
    let Some(spec) = run.get_mut("spec").and_then(Tree::as_object_mut) else {
        return;
    };
    spec.insert("serviceAccountName", SERVICE_ACCOUNT);
    let arguments = spec.get_mut("arguments").and_then(Tree::as_object_mut);
    let parameters = arguments.and_then(|arguments| arguments.get_mut("parameters"));
    if let Some(Tree::Array(parameters)) = parameters {
        let parameters = parameters.edit().iter_mut();
        for parameter in parameters.filter_map(Tree::as_object_mut) {
            if let Some(value @ (Tree::Bool(_) | Tree::Number(_))) = parameter.get_mut("value") {
                *value = Tree::from(value.to_string());
            }
        }
    }
}

fn run_labels(snapshot: &WorkflowSnapshot<'_>) -> Members {
    let run = snapshot.run;
    Members::from_iter([
        (labels::WORKFLOW_RUN, run.name()),
        (labels::WORKFLOW_RUN_NAMESPACE, run.namespace()),
        (labels::MANAGED_BY, labels::WORKFLOW_RUN_CONTROLLER),
    ])
}

/// The namespace of the runs, and the account they use, which may report what became of them.
fn prerequisites(namespace: &str) -> Vec<Value> {
    let role = format!("{SERVICE_ACCOUNT}-role");
    let managed = json!({ labels::MANAGED_BY: labels::WORKFLOW_RUN_CONTROLLER });
    let metadata = |name: &str| json!({"name": name, "namespace": namespace, "labels": managed});
    let group = "rbac.authorization.k8s.io";
    vec![
        json!({
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": namespace, "labels": managed},
        }),
        json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": metadata(SERVICE_ACCOUNT),
        }),
        json!({
            "apiVersion": format!("{group}/v1"),
            "kind": "Role",
            "metadata": metadata(&role),
            "rules": [{
                "apiGroups": ["argoproj.io"],
                "resources": ["workflowtaskresults"],
                "verbs": ["create", "patch"],
            }],
        }),
        json!({
            "apiVersion": format!("{group}/v1"),
            "kind": "RoleBinding",
            "metadata": metadata(&format!("{role}-binding")),
            "roleRef": {"apiGroup": group, "kind": "Role", "name": role},
            "subjects": [{
                "kind": "ServiceAccount",
                "name": SERVICE_ACCOUNT,
                "namespace": namespace,
            }],
        }),
    ]
}
