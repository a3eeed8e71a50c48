//! Workflows of a fleet, and their runs.

use super::removal::ObjectName;
use super::table::Table;
use super::{Fleet, put};
use crate::snapshot::WorkflowSnapshot;
use choreo_model::plane::WorkflowPlaneSpec;
use choreo_model::reference::WorkflowRef;
use choreo_model::workflow::{WorkflowRunSpec, WorkflowSpec};
use choreo_model::{SecretReference, Workflow, WorkflowPlane, WorkflowRun};
use serde_json::Value;

/// The objects.
#[derive(Debug, Clone, Default)]
pub(super) struct Runs {
    workflows: Table<WorkflowSpec>,
    planes: Table<WorkflowPlaneSpec>,
    objects: Table<WorkflowRunSpec>,
}

impl Runs {
    /// Takes an object of one of the kinds of workflows; any other is passed over.
    pub(super) fn add(&mut self, kind: &str, manifest: Value) -> Result<(), String> {
        match kind {
            "Workflow" | "ClusterWorkflow" => put(&mut self.workflows, manifest),
            "WorkflowPlane" | "ClusterWorkflowPlane" => put(&mut self.planes, manifest),
            "WorkflowRun" => put(&mut self.objects, manifest),
            _ => Ok(()),
        }
    }

    /// Takes away an object of one of the kinds of workflows; nothing of any other.
    pub(super) fn remove(&mut self, kind: &str, namespace: &str, name: &str) {
        match kind {
            "Workflow" | "ClusterWorkflow" => self.workflows.remove(namespace, name),
            "WorkflowPlane" | "ClusterWorkflowPlane" => self.planes.remove(namespace, name),
            "WorkflowRun" => self.objects.remove(namespace, name),
            _ => {}
        }
    }

    /// The names of all objects.
    pub(super) fn names(&self) -> Vec<ObjectName> {
        let tables = [
            self.workflows.names(),
            self.planes.names(),
            self.objects.names(),
        ];
        tables.concat()
    }

    pub(super) fn run(&self, namespace: &str, name: &str) -> Option<&WorkflowRun> {
        self.objects.get(namespace, name)
    }

    /// The runs, by namespace and name.
    pub(super) fn iter(&self) -> impl Iterator<Item = &WorkflowRun> {
        self.objects.iter()
    }

    /// The workflow of a run, or what is missing.
    pub(super) fn workflow_of(&self, run: &WorkflowRun) -> Result<&Workflow, String> {
        self.workflow(&run.spec.workflow.reference, run.namespace())
    }

    /// The workflow that an object in `namespace` refers to, or what is missing.
    pub(super) fn workflow(
        &self,
        reference: &WorkflowRef,
        namespace: &str,
    ) -> Result<&Workflow, String> {
        let namespace = reference.namespace(namespace);
        self.workflows.find(namespace, &reference.name)
    }

    /// The plane of a run, or what is missing.
    fn plane_of(&self, run: &WorkflowRun, workflow: &Workflow) -> Result<&WorkflowPlane, String> {
        let reference = &workflow.spec.workflow_plane_ref;
        let namespace = reference.namespace(run.namespace());
        self.planes.find(namespace, &reference.name)
    }
}

impl Fleet {
    /// What compiling `run` needs, or what is missing for it.
    pub fn run_snapshot<'a>(
        &'a self,
        run: &'a WorkflowRun,
    ) -> Result<WorkflowSnapshot<'a>, String> {
        let workflow = self.runs.workflow_of(run)?;
        Ok(WorkflowSnapshot {
            workflow,
            run,
            plane: self.runs.plane_of(run, workflow)?,
            secret_references: self.secret_references_in(run.namespace()),
        })
    }

    fn secret_references_in(&self, namespace: &str) -> Vec<&SecretReference> {
        let all = self.secret_references.iter();
        all.filter(|one| one.namespace() == namespace).collect()
    }

    /// Whether the run `name` has begun: what runs is never rendered again.
    pub(crate) fn has_begun(&self, namespace: &str, name: &str) -> bool {
        let run = self.runs.run(namespace, name);
        run.is_some_and(|run| {
            run.status.run_reference.is_some() || run.status.completed_at.is_some()
        })
    }
}
