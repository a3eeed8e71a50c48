//! The arithmetic of a rolling update: how many pods each replica set may have next.

use k8s_openapi::api::apps::v1::DeploymentSpec;

use super::scaled;

/// How far a rolling update may stray from the wanted number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Pods wanted.
    pub replicas: i32,
    /// Pods beyond that.
    pub surge: i32,
    /// Pods that may be missing.
    pub unavailable: i32,
}

/// One replica set as the update sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Pods it is told to have.
    pub replicas: i32,
    /// Pods of it that are available.
    pub available: i32,
}

impl Bounds {
    /// The bounds of a deployment; a quarter each unless it says otherwise.
    pub fn of(spec: &DeploymentSpec) -> Self {
        let replicas = spec.replicas.unwrap_or(1);
        let strategy = spec.strategy.as_ref();
        if strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("Recreate") {
            return Self {
                replicas,
                surge: 0,
                unavailable: replicas,
            };
        }
        let rolling = strategy.and_then(|strategy| strategy.rolling_update.as_ref());
        let quarter = |round_up| {
            let part = if round_up {
                (replicas + 3) / 4
            } else {
                replicas / 4
            };
            part.max(0)
        };
        let surge = scaled(rolling.and_then(|r| r.max_surge.as_ref()), replicas, true)
            .unwrap_or_else(|| quarter(true));
        let missing = scaled(
            rolling.and_then(|r| r.max_unavailable.as_ref()),
            replicas,
            false,
        )
        .unwrap_or_else(|| quarter(false));
        let unavailable = if surge == 0 && missing == 0 {
            1
        } else {
            missing.min(replicas)
        };
        Self {
            replicas,
            surge,
            unavailable,
        }
    }

    /// How many pods must be available.
    pub fn min_available(self) -> i32 {
        (self.replicas - self.unavailable).max(0)
    }

    /// The next number of the current replica set, given those of all.
    pub fn next_current(self, current: i32, total: i32) -> i32 {
        if current >= self.replicas {
            return self.replicas;
        }
        let room = (self.replicas + self.surge - total).max(0);
        current + room.min(self.replicas - current)
    }

    /// The next numbers of the old replica sets, oldest first: unhealthy pods go first, healthy ones
    /// as far as enough stay available.
    pub fn next_old(self, current: Counts, old: &[Counts]) -> Vec<i32> {
        let total: i32 = current.replicas + old.iter().map(|set| set.replicas).sum::<i32>();
        let unavailable = (current.replicas - current.available).max(0);
        let mut spare = (total - self.min_available() - unavailable).max(0);
        let mut next: Vec<i32> = old.iter().map(|set| set.replicas).collect();
        for (set, next) in old.iter().zip(&mut next) {
            let unhealthy = (set.replicas - set.available).clamp(0, spare);
            *next -= unhealthy;
            spare -= unhealthy;
        }
        let available = current.available + old.iter().map(|set| set.available).sum::<i32>();
        let mut spare = (available - self.min_available()).max(0).min(spare);
        for next in &mut next {
            let healthy = (*next).min(spare);
            *next -= healthy;
            spare -= healthy;
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::{DeploymentStrategy, RollingUpdateDeployment};
    use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bounds_follow_the_strategy() {
        let mut spec = DeploymentSpec {
            replicas: Some(1),
            ..DeploymentSpec::default()
        };
        assert_eq!(
            Bounds::of(&spec),
            Bounds {
                replicas: 1,
                surge: 1,
                unavailable: 0
            }
        );
        spec.strategy = Some(DeploymentStrategy {
            rolling_update: Some(RollingUpdateDeployment {
                max_surge: Some(IntOrString::Int(0)),
                max_unavailable: Some(IntOrString::String("10%".into())),
            }),
            type_: None,
        });
        assert_eq!(
            Bounds::of(&spec),
            Bounds {
                replicas: 1,
                surge: 0,
                unavailable: 1
            }
        );
    }

    #[test]
    fn old_pods_stay_until_new_ones_are_available() {
        let bounds = Bounds {
            replicas: 2,
            surge: 1,
            unavailable: 0,
        };
        let old = [Counts {
            replicas: 2,
            available: 2,
        }];
        assert_eq!(bounds.next_current(0, 2), 1);
        assert_eq!(
            bounds.next_old(
                Counts {
                    replicas: 1,
                    available: 0
                },
                &old
            ),
            [2]
        );
        assert_eq!(
            bounds.next_old(
                Counts {
                    replicas: 1,
                    available: 1
                },
                &old
            ),
            [1]
        );
    }

    #[test]
    fn broken_old_pods_go_at_once() {
        let bounds = Bounds {
            replicas: 1,
            surge: 1,
            unavailable: 0,
        };
        let old = [Counts {
            replicas: 1,
            available: 0,
        }];
        assert_eq!(
            bounds.next_old(
                Counts {
                    replicas: 1,
                    available: 1
                },
                &old
            ),
            [0]
        );
    }

    proptest! {
        #[test]
        fn an_update_ends_within_its_bounds(
            replicas in 1..20_i32, surge in 0..5_i32, missing in 0..5_i32, before in 0..20_i32,
        ) {
            let unavailable = if surge == 0 { missing.max(1) } else { missing }.min(replicas);
            let bounds = Bounds { replicas, surge, unavailable };
            let (mut current, mut old) = (0, before);
            for _ in 0..200 {
                current = bounds.next_current(current, current + old);
                prop_assert!(current + old <= (replicas + surge).max(before));
                let now = Counts { replicas: current, available: current };
                old = bounds.next_old(now, &[Counts { replicas: old, available: old }])[0];
                prop_assert!(current + old >= bounds.min_available().min(before));
            }
            prop_assert_eq!((current, old), (replicas, 0));
        }
    }
}
