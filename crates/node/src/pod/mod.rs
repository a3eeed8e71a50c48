//! Pods on this machine: what a kubelet does.

pub mod images;
pub mod logs;
