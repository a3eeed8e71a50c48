//! Patches of every form, and what holds of them.

use jiff::Timestamp;
use serde_json::Value;

use super::{definitions::documents, kind};
use crate::{
    apply::{self, Before, Manager, Same},
    patch::{Format, Patch},
    schema::{Cause, Node, Schema},
};

/// An object of a built-in kind and patches of it, as YAML documents.
pub(super) fn patches(data: &[u8]) {
    let mut all = documents(data);
    if all.is_empty() {
        return;
    }
    let current = all.remove(0);
    let Some(kind) = kind(&current) else {
        return;
    };
    let node = kind.schema.root();
    for patch in &all {
        for format in [Format::Json, Format::Merge, Format::Strategic] {
            patched(node, format, &current, patch);
        }
    }
    all.insert(0, current);
    // What is not of the kind is refused before it is applied, or by what it leaves.
    all.retain_mut(|config| {
        config.is_object()
            && kind.schema.prune(config).is_empty()
            && misfits(&kind.schema, config).is_empty()
    });
    applied(node, &all);
}

/// Applies a patch. One that merges changes nothing the second time.
fn patched(node: Node<'_>, format: Format, current: &Value, patch: &Value) {
    let Ok(read) = Patch::read(format, patch.clone()) else {
        return;
    };
    let _ = read.names_version();
    let Ok(once) = read.apply(node, current) else {
        return;
    };
    if format == Format::Merge {
        assert_eq!(read.apply(node, &once).ok().as_ref(), Some(&once));
    }
    // What changed is recorded, whatever it is.
    let mut tracked = once;
    apply::track(
        Before::Stored(current),
        &mut tracked,
        manager("p", &Same(node)),
    );
}

/// What is wrong with a part of an object but that there should be more of it.
fn misfits(schema: &Schema, config: &Value) -> Vec<Cause> {
    let mut causes = schema.validate(config, None);
    causes.retain(|cause| cause.reason != "FieldValueRequired");
    causes
}

/// Applies each configuration by a manager of its own. The second time nothing changes.
fn applied(node: Node<'_>, configs: &[Value]) {
    let same = Same(node);
    let mut live: Option<Value> = None;
    for (config, name) in configs.iter().zip(["a", "b", "c"]) {
        let apply =
            |live: &Value, force| apply::apply(node, live, config, manager(name, &same), force);
        let new = match &live {
            None => apply::create(node, config.clone(), manager(name, &same)),
            Some(live) => {
                let _ = apply(live, false);
                apply(live, true)
            }
        };
        let Ok(new) = new else {
            continue;
        };
        let again = apply(&new, false);
        assert_eq!(again.ok().as_ref(), Some(&new), "{name} applies {config}");
        live = Some(new);
    }
}

fn manager<'a>(name: &'a str, versions: &'a Same<'_>) -> Manager<'a> {
    Manager {
        name,
        api_version: "v1",
        subresource: "",
        versions,
        now: Timestamp::UNIX_EPOCH,
    }
}
