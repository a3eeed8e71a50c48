//! Checks of containers over the network, made inside the machine's network namespace.

use std::{net::Ipv4Addr, time::Duration};

use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::trust;

/// Longest head of an answer that is read: a status line and generous headers.
const LONGEST_HEAD: usize = 64 << 10;

pub(super) type Outcome = Result<(), String>;

/// Whether a connection is accepted in time.
pub(super) async fn tcp(target: (Ipv4Addr, u16), limit: Duration) -> Outcome {
    within(limit, async {
        TcpStream::connect(target)
            .await
            .map(|_| ())
            .map_err(|error| explain(target, &error))
    })
    .await
}

/// A GET request.
#[derive(Debug)]
pub(super) struct Question<'a> {
    pub(super) target: (Ipv4Addr, u16),
    pub(super) path: &'a str,
    pub(super) headers: &'a [(String, String)],
    pub(super) tls: bool,
}

/// Whether a GET request is answered in time with a status of 200 to 399.
pub(super) async fn http(question: &Question<'_>, limit: Duration) -> Outcome {
    let target = question.target;
    let request = request(target, question.path, question.headers)?;
    within(limit, async {
        let asked = async {
            let stream = TcpStream::connect(target).await?;
            if question.tls {
                let name = question.server_name();
                ask(trust::anyone(stream, name).await?, &request).await
            } else {
                ask(stream, &request).await
            }
        };
        let status = asked.await.map_err(|error| explain(target, &error))?;
        match status {
            200..=399 => Ok(()),
            other => Err(format!("HTTP status {other}")),
        }
    })
    .await
}

impl Question<'_> {
    /// The name by which a server with several certificates is asked: the one the request names.
    fn server_name(&self) -> ServerName<'static> {
        let named = self
            .headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("host"))
            .map(|(_, value)| value.split(':').next().unwrap_or_default().to_owned());
        named
            .and_then(|name| ServerName::try_from(name).ok())
            .unwrap_or_else(|| ServerName::from(std::net::IpAddr::from(self.target.0)))
    }
}

pub(super) async fn within(limit: Duration, check: impl Future<Output = Outcome>) -> Outcome {
    match timeout(limit, check).await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!("no answer within {limit:?}")),
    }
}

pub(super) fn explain((address, port): (Ipv4Addr, u16), error: &std::io::Error) -> String {
    format!("{address}:{port}: {error}")
}

fn request(
    (address, port): (Ipv4Addr, u16),
    path: &str,
    headers: &[(String, String)],
) -> Result<Vec<u8>, String> {
    let path = if path.is_empty() { "/" } else { path };
    let has = |name: &str| {
        headers
            .iter()
            .any(|(key, _)| key.eq_ignore_ascii_case(name))
    };
    let mut lines = vec![format!("GET {path} HTTP/1.1")];
    if !has("host") {
        lines.push(format!("Host: {address}:{port}"));
    }
    if !has("user-agent") {
        lines.push("User-Agent: choreo-probe".to_owned());
    }
    lines.push("Accept: */*".to_owned());
    lines.push("Connection: close".to_owned());
    lines.extend(
        headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}")),
    );
    // A line break in a path or header would start another request.
    if path.contains(' ') || lines.iter().any(|line| line.contains(['\r', '\n'])) {
        return Err("the probe's path or a header has spaces or line breaks".to_owned());
    }
    Ok(format!("{}\r\n\r\n", lines.join("\r\n")).into_bytes())
}

async fn ask(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &[u8],
) -> std::io::Result<u16> {
    stream.write_all(request).await?;
    let mut head = Vec::new();
    loop {
        if let Some(status) = final_status(&head)? {
            return Ok(status);
        }
        if head.len() > LONGEST_HEAD {
            return Err(invalid("the answer's head is too long"));
        }
        if stream.read_buf(&mut head).await? == 0 {
            return Err(invalid("the answer ended before its status"));
        }
    }
}

/// The status of an answer once its status line is whole; interim answers (1xx) are skipped.
fn final_status(mut head: &[u8]) -> std::io::Result<Option<u16>> {
    loop {
        let Some(end) = head.windows(2).position(|pair| pair == b"\r\n") else {
            return Ok(None);
        };
        let status = parse_status(&head[..end]).ok_or_else(|| invalid("this is no HTTP answer"))?;
        if !(100..200).contains(&status) {
            return Ok(Some(status));
        }
        let Some(blank) = head.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(None);
        };
        head = &head[blank + 4..];
    }
}

fn parse_status(line: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split(' ');
    words
        .next()
        .filter(|version| version.starts_with("HTTP/1."))?;
    words
        .next()?
        .parse()
        .ok()
        .filter(|status| (100..600).contains(status))
}

pub(super) fn invalid(message: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_is_read_as_it_arrives() {
        let check = |head: &str, expected| {
            assert_eq!(
                final_status(head.as_bytes()).ok().flatten(),
                expected,
                "{head:?}"
            );
        };
        check("HTTP/1.1 2", None);
        check("HTTP/1.1 204 No Content\r\n", Some(204));
        check("HTTP/1.0 503\r\n", Some(503));
        check("HTTP/1.1 100 Continue\r\n", None);
        check(
            "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\n",
            Some(200),
        );
        assert!(final_status(b"SSH-2.0-x\r\n").is_err());
    }

    #[test]
    fn headers_cannot_smuggle_requests() {
        let target = (Ipv4Addr::LOCALHOST, 80);
        assert!(request(target, "/", &[("A".into(), "b\r\n\r\nGET /".into())]).is_err());
        assert!(request(target, "/a b", &[]).is_err());
        let host = request(target, "", &[("host".into(), "shop".into())]).unwrap();
        let text = String::from_utf8(host).unwrap();
        assert!(text.starts_with("GET / HTTP/1.1\r\n"), "{text}");
        assert_eq!(text.to_lowercase().matches("host:").count(), 1, "{text}");
    }
}
