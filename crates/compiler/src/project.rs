//! The pipeline of a project: one binding of one project release makes one cell.

use crate::bench::{Bench, Draft, Ledger, Recipe, Site};
use crate::context;
use crate::diagnostic::Code;
use crate::finish::{self, text};
use crate::parameters::{self, Section};
use crate::programs::Programs;
use crate::result::Compiled;
use crate::snapshot::ProjectSnapshot;
use crate::validations;
use choreo_model::names;
use choreo_template::{Context, Recorder, Silent};

/// Renders one binding of a project.
pub fn compile_project(snapshot: &ProjectSnapshot<'_>, programs: &Programs) -> Compiled {
    compile::<Silent>(snapshot, programs)
}

/// The same, with where every field came from.
pub fn explain_project(snapshot: &ProjectSnapshot<'_>, programs: &Programs) -> Compiled {
    compile::<Recorder>(snapshot, programs)
}

fn compile<L: Ledger>(snapshot: &ProjectSnapshot<'_>, programs: &Programs) -> Compiled {
    let namespace = names::cell_namespace(
        snapshot.binding.namespace(),
        snapshot.project.name(),
        snapshot.environment.name(),
    );
    let mut compiled = Compiled {
        namespace,
        ..Compiled::default()
    };
    let mut bench = Bench::<L>::default();
    bench.open(
        programs,
        &type_object(snapshot),
        &snapshot.release.project_type,
    );
    let drafts = render(snapshot, &mut bench, &compiled.namespace, programs);
    compiled.diagnostics.append(&mut bench.diagnostics);
    if !compiled.has_errors() {
        compiled.provenance.seen = bench.seen;
        finish::hand_over(drafts, &mut compiled);
    }
    compiled
}

fn type_object(snapshot: &ProjectSnapshot<'_>) -> String {
    let frozen = &snapshot.release.project_type;
    format!("{}/{}", frozen.kind, frozen.name)
}

fn render<L: Ledger>(
    snapshot: &ProjectSnapshot<'_>,
    bench: &mut Bench<L>,
    namespace: &str,
    programs: &Programs,
) -> Vec<Draft> {
    let frozen = &snapshot.release.project_type;
    let object = type_object(snapshot);
    let mut variables = context::project(snapshot, programs);
    for (name, section, value, given) in [
        (
            "parameters",
            &frozen.spec.parameters,
            &snapshot.release.parameters,
            format!("Project/{}", snapshot.project.name()),
        ),
        (
            "environmentConfigs",
            &frozen.spec.environment_configs,
            &snapshot.binding.spec.environment_configs,
            format!("ProjectReleaseBinding/{}", snapshot.binding.name()),
        ),
    ] {
        let field = format!("spec.{name}");
        let site = Section {
            declared: &object,
            schema_field: &field,
            given: &given,
            field: &field,
        };
        let value = parameters::filled(bench, section.as_ref(), value.as_ref(), site);
        variables.set(name, value);
    }
    bench.keep(&variables);
    let mut context = Context::within(bench.budget.clone());
    variables.bind(&mut context);
    let rules = ("validations", frozen.spec.validations.as_slice());
    validations::before(bench, &object, rules, &context);
    let mut drafts = Vec::new();
    if !bench.diagnostics.is_empty() {
        return drafts;
    }
    for (index, resource) in frozen.spec.resources.iter().enumerate() {
        let pointer = format!("/spec/resources/{index}");
        let site = Site {
            object: &object,
            pointer: &pointer,
        };
        bench.make(site, Recipe::from(resource), &context, &mut drafts);
    }
    finish::check(bench, &object, &drafts);
    check_namespace(bench, &object, &drafts, namespace);
    drafts
}

fn check_namespace<L: Ledger>(
    bench: &mut Bench<L>,
    object: &str,
    drafts: &[Draft],
    namespace: &str,
) {
    let made = drafts.iter().any(|draft| {
        text(&draft.object, &["apiVersion"]) == "v1"
            && text(&draft.object, &["kind"]) == "Namespace"
            && text(&draft.object, &["metadata", "name"]) == namespace
    });
    if !made && bench.diagnostics.is_empty() {
        let site = Site {
            object,
            pointer: "/spec/resources",
        };
        let message = format!("renders no v1 Namespace named {namespace}");
        bench.fail(Code::NamespaceMissing, site, message);
    }
}
