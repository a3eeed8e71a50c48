//! Requests to the world outside, as data, and who makes them. This crate speaks to nobody but APIs
//! of Kubernetes; whoever runs it lends it a voice.

use std::collections::BTreeMap;

use futures::future::BoxFuture;
use k8s_openapi::jiff::Timestamp;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// How.
    pub method: &'static str,
    /// Where to: `http` or `https`.
    pub url: String,
    /// Headers to send.
    pub headers: BTreeMap<String, String>,
    /// What to send.
    pub body: Option<String>,
}

/// Makes requests, each bounded in time and size, and follows no redirects.
pub trait Calls: Send + Sync + 'static {
    /// Makes a request. Answers with the status of the answer, or why there is none.
    fn call(&self, request: Request) -> BoxFuture<'_, Result<u16, String>>;
}

/// Makes no requests.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NoCalls;

impl Calls for NoCalls {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<u16, String>> {
        let why = format!("{} is not called: no requests are made here", request.url);
        Box::pin(std::future::ready(Err(why)))
    }
}

/// What came of the last of several equal requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status of the answer, or why there is none.
    pub(crate) outcome: Result<u16, String>,
    /// When.
    pub(crate) at: Timestamp,
    /// How many there were.
    pub(crate) attempts: u32,
}
