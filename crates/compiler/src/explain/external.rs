//! From the way out of a component to the declarations of its external connections.

use super::follow::step;
use super::{Explained, Role, Step, labelled};
use crate::egress_gateway::{self, WayOut};
use crate::external::{self, External, Externals, Source, Written};
use choreo_model::names;
use choreo_template::{Members, Tree};
use serde::Serialize;

/// Fields of the objects and the fields of a declaration that say what they are; the longest first.
const FIELDS: [(&str, &str); 15] = [
    ("/spec/endpoints/0/fqdn/port", "/port"),
    ("/spec/endpoints/0/ip/port", "/port"),
    ("/spec/endpoints", "/host"),
    ("/spec/type", "/host"),
    ("/spec/hostnames", "/host"),
    ("/spec/validation/hostname", "/host"),
    ("/spec/validation", "/tls/mode"),
    ("/spec/timeout/tcp", "/timeouts/connect"),
    ("/spec/timeout/http", "/timeouts/request"),
    ("/spec/retry/numRetries", "/retries/attempts"),
    ("/spec/retry/perRetry/timeout", "/retries/perTryTimeout"),
    ("/spec/retry/perRetry/backOff", "/retries/backoff"),
    ("/spec/retry/retryOn/httpStatusCodes", "/retries/codes"),
    ("/spec/retry", "/retries"),
    ("/spec/circuitBreaker", "/circuitBreaker"),
];

impl<'a> Explained<'a> {
    /// What the field at `pointer` of an object of the way out comes from.
    pub(super) fn way_out(&self, object: &Tree, pointer: &str) -> Vec<Step> {
        let segments: Vec<&str> = pointer.split('/').skip(1).collect();
        match segments.as_slice() {
            ["metadata", "namespace"] => return self.names("namespace"),
            ["metadata", "labels", label] => return self.names(labelled(label)),
            _ => {}
        }
        let externals = self.externals();
        let mut found = Vec::new();
        for external in externals.routed() {
            if object["kind"] == "Gateway" {
                if let ["spec", "listeners", index, field, ..] = segments.as_slice()
                    && egress_gateway::listens(&object["spec"]["listeners"], index, external)
                {
                    found.push(self.declared(external, listener_field(field, external)));
                }
                continue;
            }
            let name = self.with_way(&externals, |way| way.name_of(external));
            if object["metadata"]["name"] == *name {
                found.extend(self.led(external, pointer));
            }
        }
        if found.is_empty() && pointer == "/metadata/name" {
            return self.names("componentName");
        }
        found
    }

    /// What the rule of a network policy comes from that lets the component call its gateway.
    pub(super) fn called_gateway(&self, rule: &Tree) -> Option<Vec<Step>> {
        egress_gateway::is_call(rule).then(|| {
            let externals = self.externals();
            let routed = externals.routed();
            routed.map(|one| self.declared(one, "")).collect()
        })
    }

    /// What a variable in the list of the connection at `index` comes from.
    pub(super) fn external_variable(&self, index: usize, path: &[&str]) -> Option<Vec<Step>> {
        let externals = self.externals();
        let external = externals.all.get(index)?;
        let shown = self.compiled.provenance.seen.variable("dependencies");
        let field = match path {
            ["envVars", number, part] => {
                let variable = shown.step("external")?.step(&index.to_string())?;
                let variable = variable.step("envVars")?.step(number)?;
                let fields = external.declared.env_bindings.fields().into_iter();
                let mut bound = fields.filter(|(_, name)| {
                    name.as_deref().is_some_and(|name| variable["name"] == name)
                });
                let (binding, _) = bound.next()?;
                let asked = self.declared(external, &format!("/envBindings/{binding}"));
                let told: &[&str] = match (*part, binding) {
                    ("name", _) => &[],
                    (_, "host") => &["/host"],
                    (_, "port") => &["/port"],
                    _ => &["/host", "/port", "/protocol"],
                };
                let told = told.iter().map(|field| self.declared(external, field));
                return Some(std::iter::once(asked).chain(told).collect());
            }
            ["host"] => "/host",
            ["name"] => "/name",
            ["port"] => "/port",
            ["protocol"] => "/protocol",
            _ => "",
        };
        Some(vec![self.declared(external, field)])
    }

    fn led(&self, external: &External<'_>, pointer: &str) -> Vec<Step> {
        if pointer == "/metadata/name" {
            let mut steps = self.names("componentName");
            steps.push(match external.source {
                Source::Declared(_) => self.declared(external, "/name"),
                Source::Given(object) => Step {
                    role: Role::Name,
                    object: format!("ExternalConnection/{}", object.name()),
                    field: "metadata".to_owned(),
                    expression: None,
                },
            });
            return steps;
        }
        let known = FIELDS
            .iter()
            .find(|(prefix, _)| pointer.starts_with(prefix));
        let field = match known {
            Some(("/spec/circuitBreaker", field)) => {
                format!("{field}{}", &pointer["/spec/circuitBreaker".len()..])
            }
            Some((_, field)) => (*field).to_owned(),
            None if pointer.ends_with("/sectionName") => "/protocol".to_owned(),
            None => String::new(),
        };
        vec![self.declared(external, &field)]
    }

    /// The field at `below` of where a connection is written.
    fn declared(&self, external: &External<'_>, below: &str) -> Step {
        match external.source {
            Source::Declared(Written::Workload(index)) => {
                self.of_workload(&format!("/spec/dependencies/external/{index}{below}"))
            }
            Source::Declared(Written::Binding(index)) => {
                let field = external::OVERRIDES.replace('.', "/");
                let pointer = format!("/{field}/{index}{below}");
                let binding = self.component().map(|one| one.binding);
                binding.map_or_else(
                    || step(Role::Given, String::new(), &pointer),
                    |one| {
                        of_spec(
                            &format!("ReleaseBinding/{}", one.name()),
                            &one.spec,
                            &pointer,
                        )
                    },
                )
            }
            Source::Given(object) => of_spec(
                &format!("ExternalConnection/{}", object.name()),
                &object.spec,
                &format!("/spec/connection{below}"),
            ),
        }
    }

    fn externals(&self) -> Externals<'a> {
        self.component()
            .map_or_else(Externals::default, external::resolve)
    }

    fn with_way<T>(&self, externals: &Externals<'_>, ask: impl FnOnce(&WayOut<'_>) -> T) -> T {
        let owner = self.component().map(|one| &one.binding.spec.owner);
        let line = owner.map_or_else(Default::default, |owner| {
            names::line(&owner.component_name, owner.track_name.as_deref())
        });
        ask(&WayOut {
            line: &line,
            cell: &self.compiled.namespace,
            labels: &Members::default(),
            externals,
        })
    }
}

fn listener_field(field: &str, external: &External<'_>) -> &'static str {
    match field {
        "port" | "name" if external.declared.originates() => "/tls/listenPort",
        "port" => "/port",
        "protocol" | "tls" => "/protocol",
        _ => "",
    }
}

/// The field at `pointer` of an object with this specification.
fn of_spec(object: &str, spec: &impl Serialize, pointer: &str) -> Step {
    let written = serde_json::json!({"spec": spec});
    let role = match written.pointer(pointer) {
        Some(_) => Role::Given,
        None => Role::Unset,
    };
    step(role, object.to_owned(), pointer)
}
