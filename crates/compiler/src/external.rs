//! External connections: which of them a component has, and the variables that carry their addresses.
//!
//! A component has those that its workload declares and those that an [`ExternalConnection`] gives it.
//! Where only approved ones are, a declaration counts as far as an `ExternalConnection` covers it.

use crate::diagnostic::{Code, Diagnostic};
use crate::snapshot::ComponentSnapshot;
use choreo_model::application::WorkloadTemplate;
use choreo_model::external::{Clash, ExternalDependency};
use choreo_model::names::{LABEL_LIMIT, kubernetes_name};
use choreo_model::release::{
    BoundExternalConnection, PendingExternalConnection, WorkloadOverrides,
};
use choreo_model::shared::{ComponentOwner, Egress};
use choreo_model::{Environment, ExternalConnection, labels};
use choreo_template::{Tree, tree};
use std::collections::BTreeSet;

/// Where the connections of a binding are written.
pub(crate) const OVERRIDES: &str = "spec.workloadOverrides.dependencies.external";

/// Where a connection is declared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// In the workload, at this index.
    Workload(usize),
    /// In the overrides of the binding, at this index.
    Binding(usize),
}

/// Where a connection comes from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Source<'a> {
    /// It is declared.
    Declared(Written),
    /// In an object that gives it.
    Given(&'a ExternalConnection),
}

/// A connection that a component asks for or is given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct External<'a> {
    pub(crate) declared: &'a ExternalDependency,
    pub(crate) source: Source<'a>,
    /// What allows it, where it needs that.
    covered_by: Option<&'a ExternalConnection>,
    /// Whether the platform team gives it, so that it may lead to a private network.
    pub(crate) is_given: bool,
    /// Whether the gateway goes by it. Of two with one host and port it goes by the first, and by none that is
    /// not allowed; variables are given all the same.
    pub(crate) is_routed: bool,
}

/// The external connections of one component.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Externals<'a> {
    pub(crate) all: Vec<External<'a>>,
    /// Those that are declared and not allowed.
    pub(crate) pending: Vec<PendingExternalConnection>,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// The connections that a workload declares, as a binding overrides them, each with where it is written.
pub(crate) fn declared<'a>(
    workload: &'a WorkloadTemplate,
    overrides: Option<&'a WorkloadOverrides>,
) -> Vec<(&'a ExternalDependency, Written)> {
    let dependencies = workload.dependencies.as_ref();
    let own = dependencies.map_or(&[][..], |dependencies| dependencies.external.as_slice());
    let over = overrides.map_or(&[][..], WorkloadOverrides::external);
    let kept = own.iter().enumerate().map(|(index, one)| {
        let mut others = over.iter().enumerate();
        match others.find(|(_, other)| other.name == one.name) {
            Some((at, other)) => (other, Written::Binding(at)),
            None => (one, Written::Workload(index)),
        }
    });
    let is_new = |one: &ExternalDependency| !own.iter().any(|known| known.name == one.name);
    let more = over.iter().enumerate().filter(|(_, one)| is_new(one));
    kept.chain(more.map(|(at, one)| (one, Written::Binding(at))))
        .collect()
}

/// What leaves a component besides its connections to other components.
pub(crate) fn egress(snapshot: &ComponentSnapshot<'_>) -> Egress {
    let own = snapshot.environment.spec.egress;
    own.or(snapshot.project_egress).unwrap_or_default()
}

/// Whether `connection` is for a component in an environment. A preview has those of the environment it was made
/// after.
pub fn is_given(
    connection: &ExternalConnection,
    owner: &ComponentOwner,
    environment: &Environment,
) -> bool {
    let base = environment.label(labels::PREVIEW_OF);
    let names: Vec<&str> = std::iter::once(environment.name()).chain(base).collect();
    let (project, component) = (&owner.project_name, &owner.component_name);
    connection.spec.is_for(project, component, &names)
}

/// The connections of the component of `snapshot`.
pub(crate) fn resolve<'a>(snapshot: &ComponentSnapshot<'a>) -> Externals<'a> {
    let given = &snapshot.external_connections;
    let overrides = snapshot.binding.spec.workload_overrides.as_ref();
    let own = declared(&snapshot.release.workload, overrides);
    if given.is_empty() && own.is_empty() {
        return Externals::default();
    }
    let mut found = Externals::default();
    let must_be_covered = egress(snapshot) == Egress::Approved;
    for (declared, written) in own {
        let source = Source::Declared(written);
        let mut covering = given.iter().copied();
        let covered_by = covering.find(|one| one.spec.connection.covers(declared));
        if must_be_covered && covered_by.is_none() {
            found.pending.push(unapproved(snapshot, declared));
            found.all.push(External {
                declared,
                source,
                covered_by: None,
                is_given: false,
                is_routed: false,
            });
            continue;
        }
        let is_given = covered_by.is_some();
        let covered_by = covered_by.filter(|_| must_be_covered);
        found.add(snapshot, declared, source, (covered_by, is_given));
    }
    for one in given {
        let declared = &one.spec.connection;
        found.add(snapshot, declared, Source::Given(one), (Some(one), true));
    }
    found
}

/// A declaration that nothing covers, and who is to do what about it.
fn unapproved(
    snapshot: &ComponentSnapshot<'_>,
    declared: &ExternalDependency,
) -> PendingExternalConnection {
    let why = not_covered(snapshot.environment, snapshot.project.name(), declared);
    PendingExternalConnection {
        name: declared.name.clone(),
        host: declared.host.clone(),
        port: declared.port,
        protocol: declared.protocol,
        reason: format!("not approved: {why}"),
    }
}

/// What is missing for a declaration in an environment where only approved ones count.
pub(crate) fn not_covered(
    environment: &Environment,
    project: &str,
    declared: &ExternalDependency,
) -> String {
    let (authority, protocol) = (declared.authority(), declared.protocol.as_str());
    format!(
        "environment {:?} allows only what an ExternalConnection of the platform team covers, and none for project \
         {project:?} covers {authority} with protocol {protocol}",
        environment.name()
    )
}

impl<'a> Externals<'a> {
    fn add(
        &mut self,
        snapshot: &ComponentSnapshot<'_>,
        declared: &'a ExternalDependency,
        source: Source<'a>,
        (covered_by, is_given): (Option<&'a ExternalConnection>, bool),
    ) {
        let mut is_routed = true;
        for other in self.all.iter().filter(|other| other.is_routed) {
            match declared.clash(other.declared) {
                None => {}
                Some(Clash::Same) => is_routed = false,
                Some(clash) => {
                    let error = clashing(snapshot, (declared, source), other, clash);
                    self.diagnostics.push(error);
                    return;
                }
            }
        }
        self.all.push(External {
            declared,
            source,
            covered_by,
            is_given,
            is_routed,
        });
    }

    /// The connections, as a binding tells of them.
    pub(crate) fn bound(&self) -> Vec<BoundExternalConnection> {
        let routed = self.routed();
        routed
            .map(|one| BoundExternalConnection {
                name: one.declared.name.clone(),
                host: one.declared.host.clone(),
                port: one.declared.port,
                protocol: one.declared.protocol,
                external_connection: one.covered_by.map(|by| by.name().to_owned()),
            })
            .collect()
    }

    /// What the gateway goes by.
    pub(crate) fn routed(&self) -> impl Iterator<Item = &External<'a>> {
        self.all.iter().filter(|one| one.is_routed)
    }

    /// The connections as templates see them. A variable that an earlier one gives is left to that.
    pub(crate) fn items(&self, line: &str, cell: &str) -> Vec<Item> {
        let mut names = BTreeSet::new();
        let all = self.all.iter();
        all.map(|one| {
            let host = one.host(line, cell);
            let variables = one.variables(&host);
            let variables = variables.filter(|(name, _)| names.insert(*name));
            let variables = variables.map(|(name, value)| tree!({"name": name, "value": value}));
            let variables = variables.collect();
            Item {
                value: tree!({
                    "host": host,
                    "name": &one.declared.name,
                    "port": one.declared.listen_port(),
                    "protocol": one.declared.protocol.as_str(),
                }),
                variables,
            }
        })
        .collect()
    }
}

/// A connection as templates see it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Item {
    value: Tree,
    pub(crate) variables: Vec<Tree>,
}

impl Item {
    /// The item, with its variables.
    pub(crate) fn value(&self) -> Tree {
        let mut value = self.value.clone();
        if let Some(fields) = value.as_object_mut() {
            fields.insert("envVars", self.variables.clone());
        }
        value
    }
}

impl<'a> External<'a> {
    /// The host that the component calls: the one outside, by its own name, so that what it asks for and the
    /// certificates it checks are right. An address leads past the gateway, which is called instead.
    fn host(&self, line: &str, cell: &str) -> String {
        match self.declared.ip() {
            None => self.declared.host.clone(),
            Some(_) => format!("{}.{cell}.svc.cluster.local", gateway_name(line)),
        }
    }

    /// The variables it gives, where the component calls `host`.
    fn variables(&self, host: &str) -> impl Iterator<Item = (&'a str, String)> {
        let port = self.declared.listen_port();
        let scheme = self.declared.scheme();
        let host = host.to_owned();
        let fields = self.declared.env_bindings.fields().into_iter();
        fields.filter_map(move |(field, name)| {
            let name = name.as_deref().filter(|name| !name.is_empty())?;
            let value = match field {
                "host" => host.clone(),
                "port" => port.to_string(),
                "address" if !matches!(scheme, "http" | "https") => format!("{host}:{port}"),
                _ => format!("{scheme}://{host}:{port}"),
            };
            Some((name, value))
        })
    }
}

/// The gateway of a line of a component in its cell.
pub(crate) fn gateway_name(line: &str) -> String {
    kubernetes_name(LABEL_LIMIT, &["egress", line])
}

fn clashing(
    snapshot: &ComponentSnapshot<'_>,
    (declared, source): (&ExternalDependency, Source<'_>),
    other: &External<'_>,
    clash: Clash,
) -> Diagnostic {
    let (object, field) = place(snapshot, source);
    let (others, _) = place(snapshot, other.source);
    let message = format!(
        "{} cannot be a connection of Component/{} beside {} of {others}: that {clash}",
        declared.authority(),
        snapshot.component.name(),
        other.declared.authority(),
    );
    Diagnostic::error(Code::Connection, object, field, message)
}

/// The object and the field where a connection is written.
fn place(snapshot: &ComponentSnapshot<'_>, source: Source<'_>) -> (String, String) {
    match source {
        Source::Declared(Written::Workload(index)) => (
            format!("Component/{}", snapshot.component.name()),
            format!("workload.dependencies.external[{index}]"),
        ),
        Source::Declared(Written::Binding(index)) => (
            format!("ReleaseBinding/{}", snapshot.binding.name()),
            format!("{OVERRIDES}[{index}]"),
        ),
        Source::Given(one) => (
            format!("ExternalConnection/{}", one.name()),
            "spec.connection".to_owned(),
        ),
    }
}
