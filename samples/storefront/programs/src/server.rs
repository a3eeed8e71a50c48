//! A server of a few lines: one function from a path to an answer.

use std::{
    error::Error as StdError,
    io::Write,
    net::SocketAddr,
    sync::{Arc, atomic::AtomicBool},
    thread,
};

use signal_hook::consts::SIGTERM;
use tiny_http::{Header, Response, Server};

/// How many requests are answered at a time.
const THREADS: usize = 4;

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct ServeError {
    address: SocketAddr,
    #[source]
    source: Box<dyn StdError + Send + Sync>,
}

/// What to send back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    status: u16,
    kind: &'static str,
    body: String,
}

impl Answer {
    /// A value as JSON.
    pub fn json(value: &impl serde::Serialize) -> Self {
        match serde_json::to_string(value) {
            Ok(body) => Self {
                status: 200,
                kind: "application/json",
                body,
            },
            Err(error) => Self::trouble(&error),
        }
    }

    /// A page.
    pub fn html(body: String) -> Self {
        Self {
            status: 200,
            kind: "text/html; charset=utf-8",
            body,
        }
    }

    /// There is nothing at this path.
    pub fn not_found() -> Self {
        Self {
            status: 404,
            kind: "text/plain; charset=utf-8",
            body: "not found\n".to_owned(),
        }
    }

    /// Something this program needs does not work; with all causes.
    pub fn trouble(error: &dyn StdError) -> Self {
        let mut body = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            body = format!("{body}: {cause}");
            next = cause.source();
        }
        Self {
            status: 502,
            kind: "text/plain; charset=utf-8",
            body: body + "\n",
        }
    }
}

/// Answers requests on `address` for as long as the program runs.
pub fn serve(
    address: SocketAddr,
    answer: impl Fn(&str) -> Answer + Send + Sync + 'static,
) -> Result<(), ServeError> {
    // The first process of a container ignores the wish to end unless it says otherwise.
    end_when_asked().map_err(|source| ServeError {
        address,
        source: Box::new(source),
    })?;
    let server = Server::http(address).map_err(|source| ServeError { address, source })?;
    let shared = Arc::new((server, answer));
    log(&format!("listening on {address}"));
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || work(&shared.0, &shared.1))
        })
        .collect();
    for thread in threads {
        // A thread that panicked has said so already; the others go on.
        let _ = thread.join();
    }
    Ok(())
}

fn end_when_asked() -> std::io::Result<()> {
    let always = Arc::new(AtomicBool::new(true));
    signal_hook::flag::register_conditional_shutdown(SIGTERM, 0, always).map(drop)
}

fn work(server: &Server, answer: &impl Fn(&str) -> Answer) {
    for request in server.incoming_requests() {
        let path = request
            .url()
            .split('?')
            .next()
            .unwrap_or_default()
            .to_owned();
        let answer = if path == "/healthz" {
            Answer::json(&"ok")
        } else {
            answer(&path)
        };
        log(&format!("{} {path} {}", request.method(), answer.status));
        let mut response = Response::from_string(answer.body).with_status_code(answer.status);
        if let Ok(header) = Header::from_bytes("Content-Type", answer.kind) {
            response = response.with_header(header);
        }
        // A client that went away does not want the answer any more.
        let _ = request.respond(response);
    }
}

/// A line for `choreo logs`. Nobody is left to tell when even that fails.
fn log(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn troubles_name_all_causes() {
        let cause = std::io::Error::other("no route");
        let error = ServeError {
            address: ([127, 0, 0, 1], 80).into(),
            source: Box::new(cause),
        };
        let answer = Answer::trouble(&error);
        assert_eq!(answer.status, 502);
        assert_eq!(answer.body, "cannot listen on 127.0.0.1:80: no route\n");
    }
}
