//! The Kubernetes API over SQLite: store, watch, discovery, patch, apply,
//! custom resources, garbage collection. It knows nothing of the platform's
//! kinds: they are handed in as CustomResourceDefinitions.

mod access;
pub mod builtin;
pub mod credentials;
mod openapi;
mod resource;
mod schema;
mod server;
mod table;

pub use access::{
    Admission, AdmissionRequest, Admitted, AllowAll, Denied, LogOptions, LogStream, NoPods,
    Operation, PodAccess, PodError, Violation,
};
pub use credentials::Credentials;
pub use resource::{Column, Resource, Scale, Subresources};
pub use server::{Error, Server};
