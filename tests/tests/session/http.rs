//! A client of one request, which names the host it wants instead of looking it up: so that no test
//! depends on how this machine resolves names.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
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

/// The answer to a call by gRPC.
#[derive(Debug)]
pub(crate) struct CallAnswer {
    /// Its status, by number: <https://grpc.io/docs/guides/status-codes>.
    pub(crate) status: Option<u32>,
    /// The message, as text.
    pub(crate) message: String,
}

/// Calls a method of a host, at a port of this machine, with an empty message.
pub(crate) fn grpc(port: u16, host: &str, path: &str, headers: &[(&str, &str)]) -> CallAnswer {
    let uri = format!("http://{host}:{port}{path}");
    let mut request = hyper::Request::post(uri).header("content-type", "application/grpc");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request
        .body(Full::new(Bytes::from_static(&[0; 5])))
        .unwrap();
    let calling = async {
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
        let handshake =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, connection) = handshake.await?;
        tokio::spawn(connection);
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = body.collect().await?;
        // Without a message the status is in the head.
        let trailers = body.trailers().and_then(|all| all.get("grpc-status"));
        let status = trailers
            .or_else(|| head.headers.get("grpc-status"))
            .cloned();
        Ok::<_, Box<dyn std::error::Error>>((status, body.to_bytes()))
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (status, message) = runtime.block_on(calling).unwrap();
    CallAnswer {
        status: status.and_then(|status| status.to_str().ok()?.parse().ok()),
        message: String::from_utf8_lossy(message.get(5..).unwrap_or_default()).into_owned(),
    }
}
