//! Who changed what is bound to an environment, and why; and who changed what is bound by itself. The
//! history of environments rests on it, so nobody says it of themselves: the API knows.

use choreo_apiserver::{Denied, Operation, User};
use choreo_model::{history::Action, labels};
use serde_json::{Map, Value};

use super::{Write, denied};

/// What is stored of the last change.
const STORED: [&str; 3] = [
    labels::CHANGED_BY,
    labels::CHANGE_REASON,
    labels::CHANGE_ACTION,
];
/// What a change says of itself. It is not stored as it is: left behind, it would be taken for what
/// the next change says.
const SAID: [&str; 3] = [labels::ON_BEHALF_OF, labels::CHANGE_CAUSE, labels::ACTION];
/// What a command may say it does; the rest is told by what changed.
const ACTIONS: [Action; 3] = [Action::Deploy, Action::Promote, Action::Rollback];

/// Notes on a binding who changes what it asks for, and takes care that nobody changes the note.
pub(super) fn stamp(
    write: &Write<'_>,
    user: &User,
    object: &mut Value,
    old: Option<&Value>,
) -> Result<(), Denied> {
    if is_source(write.kind) {
        sign(write, user, object, old);
        return Ok(());
    }
    if !is_binding(write.kind) {
        return Ok(());
    }
    match write.operation {
        Operation::UpdateStatus => {
            if user.part().is_none() {
                keep_history(object, old);
            }
        }
        Operation::Delete if !write.leaving => {
            let note = Note {
                by: Some(user.name.clone()),
                ..Note::default()
            };
            note.write(object);
        }
        Operation::Delete => {}
        Operation::Create | Operation::Update => {
            let changed = old.is_none_or(|old| old.get("spec") != object.get("spec"));
            let note = if changed && !write.leaving {
                Note::of(user, object)?
            } else {
                Note::read(old)
            };
            note.write(object);
        }
    }
    Ok(())
}

fn is_binding(kind: &str) -> bool {
    matches!(
        kind,
        "ReleaseBinding" | "ProjectReleaseBinding" | "ResourceReleaseBinding"
    )
}

/// Whether a kind is what releases are made of, that are bound by themselves.
fn is_source(kind: &str) -> bool {
    matches!(kind, "Component" | "Workload")
}

/// Notes who changed what releases are made of. Nothing else of it is touched: it is a person's.
fn sign(write: &Write<'_>, user: &User, object: &mut Value, old: Option<&Value>) {
    if !matches!(write.operation, Operation::Create | Operation::Update) {
        return;
    }
    let changed = old.is_none_or(|old| old.get("spec") != object.get("spec"));
    let by = if changed && !write.leaving {
        Some(user.name.clone())
    } else {
        old.and_then(|old| annotation(old, labels::CHANGED_BY))
    };
    annotate(object, |annotations| {
        put(annotations, labels::CHANGED_BY, by);
    });
}

/// Where its history has come to, a binding is told by the controllers alone.
fn keep_history(object: &mut Value, old: Option<&Value>) {
    let before = old.and_then(|old| old.pointer("/status/history"));
    if object.pointer("/status/history") == before {
        return;
    }
    let status = &mut object["status"];
    match (before, status.as_object_mut()) {
        (Some(before), _) => status["history"] = before.clone(),
        (None, Some(fields)) => drop(fields.remove("history")),
        (None, None) => {}
    }
}

/// What is noted of a change: who, why, what.
#[derive(Debug, Default)]
struct Note {
    by: Option<String>,
    reason: Option<String>,
    action: Option<String>,
}

impl Note {
    /// What a change by `user` says of itself.
    fn of(user: &User, object: &Value) -> Result<Self, Denied> {
        let said = |key: &str| annotation(object, key);
        // The controllers act for others.
        let behalf = said(labels::ON_BEHALF_OF).filter(|_| user.part().is_some());
        let action = said(labels::ACTION).map(|word| {
            let action = Action::named(&word).filter(|action| ACTIONS.contains(action));
            let known = ACTIONS.map(Action::as_str).join(", ");
            action.ok_or_else(|| {
                let field = format!("metadata.annotations[{}]", labels::ACTION);
                denied(&field, format!("{word:?} is not one of {known}"))
            })
        });
        Ok(Self {
            by: Some(behalf.unwrap_or_else(|| user.name.clone())),
            reason: said(labels::CHANGE_CAUSE),
            action: action.transpose()?.map(|action| action.as_str().to_owned()),
        })
    }

    /// What was noted before.
    fn read(old: Option<&Value>) -> Self {
        let noted = |key: &str| annotation(old?, key);
        let [by, reason, action] = STORED.map(noted);
        Self { by, reason, action }
    }

    fn write(self, object: &mut Value) {
        let notes = STORED.into_iter().zip([self.by, self.reason, self.action]);
        annotate(object, |annotations| {
            for said in SAID {
                annotations.remove(said);
            }
            for (key, note) in notes {
                put(annotations, key, note);
            }
        });
    }
}

/// Changes the annotations of an object, which has none where none are left.
fn annotate(object: &mut Value, change: impl FnOnce(&mut Map<String, Value>)) {
    let metadata = &mut object["metadata"];
    let mut annotations = match metadata.get_mut("annotations").map(Value::take) {
        Some(Value::Object(annotations)) => annotations,
        _ => Map::new(),
    };
    change(&mut annotations);
    if annotations.is_empty() {
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.remove("annotations");
        }
    } else {
        metadata["annotations"] = Value::Object(annotations);
    }
}

fn put(annotations: &mut Map<String, Value>, key: &str, note: Option<String>) {
    match note {
        Some(note) => annotations.insert(key.to_owned(), Value::from(note)),
        None => annotations.remove(key),
    };
}

fn annotation(object: &Value, key: &str) -> Option<String> {
    let annotations = object.get("metadata")?.get("annotations")?;
    let value = annotations.get(key)?.as_str()?;
    (!value.is_empty()).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const BINDING: &str = "ReleaseBinding";

    fn binding(release: &str, annotations: &Value) -> Value {
        json!({"metadata": {"annotations": annotations}, "spec": {"releaseName": release}})
    }

    /// The annotations after `user` wrote `new` over `old`.
    #[track_caller]
    fn check(user: &User, new: Value, old: Option<&Value>, expected: &Value) {
        let (mut object, write) = (
            new,
            Write {
                kind: BINDING,
                operation: if old.is_some() {
                    Operation::Update
                } else {
                    Operation::Create
                },
                leaving: false,
            },
        );
        stamp(&write, user, &mut object, old).unwrap();
        let found = object["metadata"].get("annotations");
        assert_eq!(found.cloned().unwrap_or_else(|| json!({})), *expected);
    }

    fn jane() -> User {
        User::new("jane", Vec::new())
    }

    #[test]
    fn who_changes_what_is_bound_is_noted_whatever_they_say() {
        let sent = json!({"openchoreo.dev/changed-by": "nobody", "a": "b",
            "kubernetes.io/change-cause": "CVE", "openchoreo.dev/action": "rollback"});
        let noted = json!({"openchoreo.dev/changed-by": "jane", "a": "b",
            "openchoreo.dev/change-reason": "CVE", "openchoreo.dev/change-action": "Rollback"});
        check(&jane(), binding("a", &sent), None, &noted);
        let old = binding("a", &noted);
        // The note stays as long as nothing changes.
        let john = User::new("john", Vec::new());
        check(&john, binding("a", &sent), Some(&old), &noted);
        check(&john, binding("a", &json!({"a": "b"})), Some(&old), &noted);
        // What the change before said of itself is not said of the next.
        let next = json!({"openchoreo.dev/changed-by": "john", "a": "b"});
        check(&john, binding("b", &noted), Some(&old), &next);
    }

    #[test]
    fn the_controllers_act_for_others_and_nobody_else_does() {
        let sent = json!({"openchoreo.dev/on-behalf-of": "jane"});
        let by = |name: &str| json!({"openchoreo.dev/changed-by": name});
        let controllers = User::of_part("controllers");
        check(&controllers, binding("a", &sent), None, &by("jane"));
        check(
            &controllers,
            binding("a", &json!({})),
            None,
            &by("system:choreo:controllers"),
        );
        let john = User::new("john", Vec::new());
        check(&john, binding("a", &sent), None, &by("john"));
    }

    #[test]
    fn who_changes_what_releases_are_made_of_is_noted_and_nothing_else_is_touched() {
        let write = |user: &User, image: &str, annotations: &Value, old: Option<&Value>| {
            let mut object = json!({
                "metadata": {"annotations": annotations}, "spec": {"image": image},
            });
            let operation = match old {
                Some(_) => Operation::Update,
                None => Operation::Create,
            };
            let write = Write {
                kind: "Workload",
                operation,
                leaving: false,
            };
            stamp(&write, user, &mut object, old).unwrap();
            object
        };
        let said =
            json!({"openchoreo.dev/changed-by": "nobody", "kubernetes.io/change-cause": "CVE"});
        let made = write(&jane(), "a", &said, None);
        let noted =
            json!({"openchoreo.dev/changed-by": "jane", "kubernetes.io/change-cause": "CVE"});
        assert_eq!(made["metadata"]["annotations"], noted);
        let john = User::new("john", Vec::new());
        let same = write(&john, "a", &said, Some(&made));
        assert_eq!(same, made, "nothing changed");
        let other = write(&john, "b", &json!({}), Some(&made));
        let noted = json!({"openchoreo.dev/changed-by": "john"});
        assert_eq!(other["metadata"]["annotations"], noted);
    }

    #[test]
    fn only_known_actions_are_taken() {
        let write = Write {
            kind: BINDING,
            operation: Operation::Create,
            leaving: false,
        };
        let mut object = binding("a", &json!({"openchoreo.dev/action": "Delete"}));
        let denied = stamp(&write, &jane(), &mut object, None).unwrap_err();
        assert!(
            denied.causes[0]
                .message
                .contains("Deploy, Promote, Rollback")
        );
    }

    #[test]
    fn who_deletes_is_noted_once() {
        let mut object = binding("a", &json!({"openchoreo.dev/changed-by": "john"}));
        let mut write = Write {
            kind: BINDING,
            operation: Operation::Delete,
            leaving: false,
        };
        let old = object.clone();
        stamp(&write, &jane(), &mut object, Some(&old)).unwrap();
        assert_eq!(
            object["metadata"]["annotations"],
            json!({"openchoreo.dev/changed-by": "jane"})
        );
        write.leaving = true;
        let noted = object.clone();
        stamp(
            &write,
            &User::new("john", Vec::new()),
            &mut object,
            Some(&noted),
        )
        .unwrap();
        assert_eq!(object, noted);
    }

    #[test]
    fn where_a_history_is_only_the_controllers_say() {
        let old = json!({"status": {"history": {"sequence": 3}, "conditions": []}});
        let write = Write {
            kind: BINDING,
            operation: Operation::UpdateStatus,
            leaving: false,
        };
        for forged in [
            json!({"status": {"history": {"sequence": 2}}}),
            json!({"status": {}}),
            json!({}),
        ] {
            let mut object = forged;
            stamp(&write, &jane(), &mut object, Some(&old)).unwrap();
            assert_eq!(object["status"]["history"], old["status"]["history"]);
        }
        let mut object = old.clone();
        stamp(&write, &jane(), &mut object, Some(&json!({}))).unwrap();
        assert_eq!(object["status"], json!({"conditions": []}));
        let mut object = json!({"status": {"history": {"sequence": 4}}});
        stamp(
            &write,
            &User::of_part("controllers"),
            &mut object,
            Some(&old),
        )
        .unwrap();
        assert_eq!(object["status"]["history"]["sequence"], 4);
    }
}
