//! A client of one request, which names the host it wants instead of looking it up: so that no test
//! depends on how this machine resolves names.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::Value;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: u16,
    /// Its first line and headers, in small letters.
    pub(crate) head: String,
    /// Its body.
    pub(crate) body: String,
}

impl Answer {
    /// Its body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'r> {
    /// Its method.
    pub(crate) method: &'r str,
    /// The host it names.
    pub(crate) host: &'r str,
    /// Its path.
    pub(crate) path: &'r str,
    /// Headers besides the host.
    pub(crate) headers: &'r [(&'r str, &'r str)],
    /// Its body.
    pub(crate) body: &'r str,
}

/// Asks a port of this machine for a path of a host.
pub(crate) fn get(port: u16, host: &str, path: &str, patience: Duration) -> Answer {
    let request = Request {
        method: "GET",
        host,
        path,
        headers: &[],
        body: "",
    };
    ask(port, &request, patience)
}

/// Sends a request to a port of this machine.
pub(crate) fn ask(port: u16, request: &Request<'_>, patience: Duration) -> Answer {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(patience)).unwrap();
    let mut text = format!(
        "{} {} HTTP/1.1\r\nHost: {}:{port}\r\nConnection: close\r\n",
        request.method, request.path, request.host
    );
    for (name, value) in request.headers {
        text.extend([*name, ": ", value, "\r\n"]);
    }
    if !request.body.is_empty() {
        let length = request.body.len().to_string();
        text.extend(["Content-Length: ", &length, "\r\n"]);
    }
    text.extend(["\r\n", request.body]);
    stream.write_all(text.as_bytes()).unwrap();
    let mut text = Vec::new();
    stream.read_to_end(&mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    Answer {
        status: status.unwrap_or_else(|| panic!("no answer: {head}")),
        head: head.to_ascii_lowercase(),
        body: dechunk(head, body),
    }
}

/// A body that came in pieces, in one.
fn dechunk(head: &str, body: &str) -> String {
    if !head
        .to_ascii_lowercase()
        .contains("transfer-encoding: chunked")
    {
        return body.to_owned();
    }
    let (mut whole, mut rest) = (String::new(), body);
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 {
            break;
        }
        whole.push_str(&after[..size]);
        rest = after[size..].trim_start_matches("\r\n");
    }
    whole
}
