//! What of statuses decisions read: whoever read a part of one is not woken by a change of another.

use choreo_model::release::ReleaseBindingStatus;

/// Parts of a status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Aspects(u8);

impl Aspects {
    /// None of it: the rest of the object alone.
    pub(crate) const NONE: Self = Self(0);
    /// The endpoints of a binding.
    pub(crate) const ENDPOINTS: Self = Self(1);
    /// Where the history of a binding is.
    pub(crate) const HISTORY: Self = Self(2);
    /// All that has no name of its own.
    const REST: Self = Self(4);
    /// All of it.
    pub(crate) const ALL: Self = Self(7);

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// As the last bits of a number; the others are zero.
    pub(crate) fn bits(self) -> u32 {
        u32::from(self.0)
    }

    /// Of the last bits of a number.
    pub(crate) fn of_bits(number: u32) -> Self {
        let [first, ..] = number.to_le_bytes();
        Self(first & Self::ALL.0)
    }

    /// These, if `differs`.
    fn when(self, differs: bool) -> Self {
        if differs { self } else { Self::NONE }
    }

    /// In which parts two statuses of a binding differ.
    pub(crate) fn of_binding(old: &ReleaseBindingStatus, new: &ReleaseBindingStatus) -> Self {
        let ReleaseBindingStatus {
            endpoints,
            history,
            observed_generation,
            last_spec_update_time,
            conditions,
            release,
            release_uid,
            proven_releases,
            connection_targets,
            resolved_connections,
            pending_connections,
            resource_dependency_targets,
            pending_resource_dependencies,
            external_connections,
            pending_external_connections,
            secret_reference_names,
        } = old;
        let rest = *observed_generation == new.observed_generation
            && *last_spec_update_time == new.last_spec_update_time
            && *conditions == new.conditions
            && *release == new.release
            && *release_uid == new.release_uid
            && *proven_releases == new.proven_releases
            && *connection_targets == new.connection_targets
            && *resolved_connections == new.resolved_connections
            && *pending_connections == new.pending_connections
            && *resource_dependency_targets == new.resource_dependency_targets
            && *pending_resource_dependencies == new.pending_resource_dependencies
            && *external_connections == new.external_connections
            && *pending_external_connections == new.pending_external_connections
            && *secret_reference_names == new.secret_reference_names;
        let endpoints = Self::ENDPOINTS.when(*endpoints != new.endpoints);
        let history = Self::HISTORY.when(*history != new.history);
        endpoints.and(history).and(Self::REST.when(!rest))
    }

    /// In which parts two statuses differ that have no parts with names.
    pub(crate) fn of<S: PartialEq>(old: &S, new: &S) -> Self {
        Self::ALL.when(old != new)
    }
}

#[cfg(test)]
mod tests {
    use choreo_model::release::ReleaseBindingStatus;

    use super::*;

    #[test]
    fn parts_are_told_apart() {
        let old = ReleaseBindingStatus::default();
        let told = ReleaseBindingStatus {
            release: Some("web-1".to_owned()),
            ..old.clone()
        };
        let recorded = ReleaseBindingStatus {
            history: Some(
                serde_json::from_value(serde_json::json!({
                    "sequence": 1, "hash": "h", "generation": 1,
                }))
                .unwrap(),
            ),
            ..told.clone()
        };
        assert_eq!(Aspects::of_binding(&old, &old), Aspects::NONE);
        let rest = Aspects::of_binding(&old, &told);
        assert!(rest.meets(Aspects::ALL));
        assert!(!rest.meets(Aspects::ENDPOINTS) && !rest.meets(Aspects::HISTORY));
        assert_eq!(Aspects::of_binding(&told, &recorded), Aspects::HISTORY);
    }
}
