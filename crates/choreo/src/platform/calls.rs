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
        let client = Client::builder()
            .timeout(PATIENCE)
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
mod tests {
    use std::collections::BTreeMap;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers one request with `answer`, and returns what was asked.
    async fn asked(answer: &'static str, body: Option<&str>) -> (Result<u16, String>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut text = vec![0; 4096];
            let length = stream.read(&mut text).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            text.truncate(length);
            String::from_utf8(text).unwrap()
        });
        let request = Request {
            method: "POST",
            url: format!("http://{address}/budget?of=shop"),
            headers: BTreeMap::from([("x-team".to_owned(), "shop".to_owned())]),
            body: body.map(str::to_owned),
        };
        let _ = rustls::crypto::ring::default_provider().install_default();
        let outcome = Outside::new().call(request).await;
        (outcome, server.await.unwrap())
    }

    #[tokio::test]
    async fn a_request_is_made_as_it_is_written() {
        let (outcome, asked) = asked("HTTP/1.1 204 No Content\r\n\r\n", Some("go?")).await;
        assert_eq!(outcome, Ok(204));
        assert!(
            asked.starts_with("POST /budget?of=shop HTTP/1.1\r\n"),
            "{asked}"
        );
        assert!(asked.contains("x-team: shop\r\n"), "{asked}");
        assert!(asked.ends_with("\r\n\r\ngo?"), "{asked}");
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer() {
        let answer = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\n\r\n";
        assert_eq!(asked(answer, None).await.0, Ok(302));
    }

    #[tokio::test]
    async fn who_does_not_answer_is_told_without_the_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let request = Request {
            method: "GET",
            url: format!("http://user:secret@{address}/"),
            headers: BTreeMap::new(),
            body: None,
        };
        let _ = rustls::crypto::ring::default_provider().install_default();
        let why = Outside::new().call(request).await.unwrap_err();
        assert!(!why.contains("secret"), "{why}");
        assert!(why.contains("refused"), "{why}");
    }
}
