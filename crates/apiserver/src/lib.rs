//! The Kubernetes API over SQLite: store, watch, discovery, patch, apply,
//! custom resources, garbage collection. It knows nothing of the platform's
//! kinds: they are handed in as `CustomResourceDefinitions`.
//!
//! A write goes: `http` (path, negotiation) to `rest` (what the object becomes)
//! to `store` (durable) to `cache` (visible) to whoever watches. Reads end at
//! `cache`. Nothing is visible before it is durable.

mod access;
mod apply;
mod auth;
mod body;
mod bootstrap;
pub mod builtin;
mod cache;
mod caretaker;
mod convert;
mod core;
pub mod credentials;
mod custom;
mod events;
mod furnish;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod head;
mod http;
mod list;
mod listener;
mod namespaces;
mod object;
mod openapi;
mod patch;
mod protobuf;
mod reader;
mod recent;
mod registry;
mod resource;
mod rest;
mod schema;
mod selector;
mod server;
mod status;
pub mod store;
mod table;
#[cfg(test)]
mod tables;
mod watch;

pub use access::{
    Admission, AdmissionRequest, Admitted, AllowAll, AttachOptions, Denied, ExecOptions, Hold,
    Input, LogOptions, LogStream, NoPods, Operation, Output, PodAccess, PodError, PodPorts, Reader,
    Session, Violation,
};
pub use auth::User;
pub use credentials::Credentials;
pub use resource::{Availability, Column, Resource, Scale, Subresources};
pub use schema::{Cause, Schema};
pub use server::{Error, Server};
