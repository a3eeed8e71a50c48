//! Fields that were owned apart, at a place that is one thing since its schema changed.

use super::fields::Set;
use crate::schema::{Node, Shape};

/// Brings a set to the form that the schema gives it now. From then on whoever owned a part
/// owns the whole. (The other way nothing changes: a whole stays owned until it is applied.)
pub(super) fn reconcile(node: Node<'_>, set: &mut Set) {
    match node.shape() {
        Shape::Unknown => {}
        Shape::Atomic => {
            if !set.is_leaf() {
                *set = Set::leaf();
            }
        }
        Shape::Map => {
            for (step, below) in set.children_mut() {
                if let Some(name) = step.strip_prefix("f:") {
                    reconcile(node.field(name), below);
                }
            }
        }
        Shape::ListMap(_) | Shape::Set => {
            for (_, below) in set.children_mut() {
                reconcile(node.items(), below);
            }
        }
    }
}
