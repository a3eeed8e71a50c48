//! Files a user hands over: found, read, and checked with positions, so that a mistake is shown where
//! it was made, before anything is sent.

mod check;
mod document;
mod files;
mod problem;
mod revision;
mod yaml;

pub(crate) use self::{
    check::nearest,
    document::Document,
    files::{examine, nothing, read, texts},
    problem::Problem,
    revision::texts_of,
};
