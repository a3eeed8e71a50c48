//! Which release a binding has.

use serde_json::Value;

/// A binding that is written again without its release keeps the one it has: files that pin nothing
/// must not undo a promotion.
pub(super) fn keep(kind: &str, object: &mut Value, old: Option<&Value>) {
    if kind != "ReleaseBinding" {
        return;
    }
    let Some(before) = old
        .and_then(|old| old.pointer("/spec/releaseName"))
        .and_then(Value::as_str)
    else {
        return;
    };
    let now = object
        .pointer("/spec/releaseName")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if now.is_empty()
        && !before.is_empty()
        && let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut)
    {
        spec.insert("releaseName".to_owned(), Value::from(before));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_binding_keeps_its_release() {
        let old = json!({"spec": {"releaseName": "c-1"}});
        let mut new = json!({"spec": {"environment": "development"}});
        keep("ReleaseBinding", &mut new, Some(&old));
        assert_eq!(new["spec"]["releaseName"], "c-1");
        let mut pinned = json!({"spec": {"releaseName": "c-2"}});
        keep("ReleaseBinding", &mut pinned, Some(&old));
        assert_eq!(pinned["spec"]["releaseName"], "c-2");
    }
}
