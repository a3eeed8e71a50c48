//! Requests to the world outside, for the checks of promotions.

use std::time::Duration;

use choreo_controllers::{Calls, Request};
use futures::{FutureExt, future::BoxFuture};
use reqwest::{Client, Method, redirect::Policy};

/// How long one request may take, from the name's lookup to the answer's status.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes requests. An answer's content is not read, so its size makes no difference, and what it
/// redirects to is not asked.
///
/// A machine on which none can be made, for lack of trusted certificates, runs everything else: then
/// each request is answered with why.
pub(super) struct Outside(Result<Client, String>);

impl Outside {
    /// Somebody to make requests.
    pub(super) fn new() -> Self {
        Self::with_patience(PATIENCE)
    }

    fn with_patience(patience: Duration) -> Self {
        let client = Client::builder()
            .timeout(patience)
            .redirect(Policy::none())
            .user_agent(concat!("choreo/", env!("CARGO_PKG_VERSION")))
            .pool_max_idle_per_host(0)
            .build();
        Self(client.map_err(|error| chain(&error)))
    }

    async fn ask(&self, request: Request) -> Result<u16, String> {
        let method = Method::from_bytes(request.method.as_bytes())
            .map_err(|_| format!("{} is no method", request.method))?;
        let client = self.0.as_ref().map_err(Clone::clone)?;
        let mut asked = client.request(method, &request.url);
        for (name, value) in &request.headers {
            asked = asked.header(name, value);
        }
        if let Some(body) = request.body {
            asked = asked.body(body);
        }
        let answer = asked.send().await;
        // Addresses may carry what is nobody's business.
        let answer = answer.map_err(|error| chain(&error.without_url()))?;
        Ok(answer.status().as_u16())
    }
}

impl Calls for Outside {
    fn call(&self, request: Request) -> BoxFuture<'_, Result<u16, String>> {
        self.ask(request).boxed()
    }
}

/// An error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
