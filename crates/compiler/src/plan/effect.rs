//! What changes of Kubernetes objects do to what runs.

use crate::finish::text;
use choreo_template::Tree;
use serde::Serialize;

/// What a change does to what runs, the least first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Effect {
    /// No pod is touched.
    None,
    /// Pods are replaced, one after the other.
    RollsPods,
    /// The object cannot be changed so: it has to be made anew.
    Recreates,
    /// The object goes away, and nothing with it that cannot be made again.
    Deletes,
    /// Data goes away with the object.
    DeletesData,
}

impl Effect {
    /// In words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "no effect on pods",
            Self::RollsPods => "rolls pods",
            Self::Recreates => "recreates",
            Self::Deletes => "deletes",
            Self::DeletesData => "deletes data",
        }
    }
}

/// What taking `object` away does.
pub(super) fn of_removal(object: &Tree) -> Effect {
    match text(object, &["kind"]) {
        "PersistentVolumeClaim" | "PersistentVolume" | "Namespace" => Effect::DeletesData,
        "StatefulSet" if object.pointer("/spec/volumeClaimTemplates").is_some() => {
            Effect::DeletesData
        }
        _ => Effect::Deletes,
    }
}

/// What changing the field at `pointer` of `object` does.
pub(super) fn of_field(object: &Tree, pointer: &str) -> Effect {
    let within = |outer: &str| {
        pointer
            .strip_prefix(outer)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let any = |fields: &[&str]| fields.iter().any(|field| within(field));
    let kind = text(object, &["kind"]);
    if any(fixed(kind)) {
        // What a claim held is lost when another takes its place.
        return if kind == "PersistentVolumeClaim" {
            Effect::DeletesData
        } else {
            Effect::Recreates
        };
    }
    let rolls = matches!(kind, "Deployment" | "StatefulSet" | "DaemonSet" | "Rollout");
    if rolls && within("/spec/template") {
        return Effect::RollsPods;
    }
    Effect::None
}

/// Fields that an API server does not let anybody change.
fn fixed(kind: &str) -> &'static [&'static str] {
    match kind {
        "Deployment" | "DaemonSet" => &["/spec/selector"],
        "StatefulSet" => &[
            "/spec/selector",
            "/spec/serviceName",
            "/spec/podManagementPolicy",
            "/spec/volumeClaimTemplates",
        ],
        "Job" => &["/spec/template", "/spec/selector", "/spec/completionMode"],
        "Pod" => &["/spec/containers", "/spec/volumes", "/spec/nodeName"],
        "Service" => &["/spec/clusterIP"],
        "PersistentVolumeClaim" => &[
            "/spec/accessModes",
            "/spec/storageClassName",
            "/spec/volumeMode",
            "/spec/volumeName",
            "/spec/selector",
            "/spec/dataSource",
        ],
        "RoleBinding" | "ClusterRoleBinding" => &["/roleRef"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use choreo_template::tree;

    #[track_caller]
    fn check(kind: &str, pointer: &str, expected: Effect) {
        assert_eq!(of_field(&tree!({"kind": kind}), pointer), expected);
    }

    #[test]
    fn fields_do_what_kubernetes_makes_of_them() {
        check("Deployment", "/spec/replicas", Effect::None);
        check("Deployment", "/spec/template/spec/x", Effect::RollsPods);
        check("Deployment", "/spec/templates", Effect::None);
        check(
            "Deployment",
            "/spec/selector/matchLabels/a",
            Effect::Recreates,
        );
        check("CronJob", "/spec/jobTemplate/spec/template", Effect::None);
        check("Job", "/spec/template/spec", Effect::Recreates);
        check(
            "PersistentVolumeClaim",
            "/spec/storageClassName",
            Effect::DeletesData,
        );
        check(
            "PersistentVolumeClaim",
            "/spec/resources/requests/storage",
            Effect::None,
        );
        check("ConfigMap", "/data/a", Effect::None);
    }

    #[test]
    fn what_cannot_be_changed_is_made_anew() {
        for (kind, pointer) in [
            ("StatefulSet", "/spec/serviceName"),
            ("StatefulSet", "/spec/volumeClaimTemplates/0"),
            ("DaemonSet", "/spec/selector"),
            ("Pod", "/spec/nodeName"),
            ("Service", "/spec/clusterIP"),
            ("RoleBinding", "/roleRef/name"),
            ("ClusterRoleBinding", "/roleRef"),
        ] {
            check(kind, pointer, Effect::Recreates);
        }
        check("StatefulSet", "/spec/template/spec", Effect::RollsPods);
        check("Service", "/spec/ports/0/port", Effect::None);
        check("RoleBinding", "/subjects/0", Effect::None);
    }

    #[test]
    fn data_goes_away_with_what_holds_it() {
        for (object, expected) in [
            (
                tree!({"kind": "PersistentVolumeClaim"}),
                Effect::DeletesData,
            ),
            (tree!({"kind": "PersistentVolume"}), Effect::DeletesData),
            (tree!({"kind": "Namespace"}), Effect::DeletesData),
            (tree!({"kind": "StatefulSet"}), Effect::Deletes),
            (
                tree!({"kind": "StatefulSet", "spec": {"volumeClaimTemplates": []}}),
                Effect::DeletesData,
            ),
            (
                tree!({"kind": "Deployment", "spec": {"volumeClaimTemplates": []}}),
                Effect::Deletes,
            ),
        ] {
            assert_eq!(of_removal(&object), expected, "{object}");
        }
    }
}
