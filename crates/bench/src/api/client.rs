//! A small client of HTTP/1.1, mostly over TLS: one connection, one request after the other. Of the head of an
//! answer it reads the status and how the body ends, which is all that a measurement needs, so that it
//! takes little of the machine it shares with the server.

use std::{fs::File, path::Path, sync::Arc};

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};
use kube::{
    client::ConfigExt as _,
    config::{KubeConfigOptions, Kubeconfig},
};
use nix::sched::{CloneFlags, setns};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream, rustls::pki_types::ServerName};

use crate::run::Trouble;

/// Headers that an answer may have.
const HEADERS: usize = 64;

/// Where a server is, and how to come in.
#[derive(Clone)]
pub(crate) struct Target {
    address: String,
    tls: TlsConnector,
    token: String,
}

impl Target {
    /// The server of a kubeconfig.
    pub(crate) async fn of(path: &Path) -> Result<Self, Trouble> {
        let bad = |why: String| Trouble::Output(path.display().to_string(), why);
        let config = Kubeconfig::read_from(path).map_err(|error| bad(error.to_string()))?;
        let value = serde_json::to_value(&config).map_err(|error| bad(error.to_string()))?;
        let token = value["users"][0]["user"]["token"].as_str();
        let token = token.ok_or_else(|| bad("no token".to_owned()))?.to_owned();
        let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default())
            .await
            .map_err(|error| bad(error.to_string()))?;
        let address = config.cluster_url.authority();
        let address = address
            .ok_or_else(|| bad("no address".to_owned()))?
            .to_string();
        let tls = config
            .rustls_client_config()
            .map_err(|error| bad(error.to_string()))?;
        Ok(Self {
            address,
            tls: TlsConnector::from(Arc::new(tls)),
            token,
        })
    }
}

/// A connection to a server.
pub(crate) struct Connection<S = TlsStream<TcpStream>> {
    stream: S,
    address: String,
    /// The lines that the head of every request has.
    lines: String,
    request: Vec<u8>,
    /// What came and was not yet looked at.
    came: BytesMut,
    left: Left,
}

/// What is still to come of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// So many bytes.
    Bytes(usize),
    /// So many bytes of a chunk, and further chunks.
    Chunk(usize),
    /// The line that tells how long the next chunk is.
    Size,
}

impl Connection {
    pub(crate) async fn open(target: &Target) -> Result<Self, Trouble> {
        let failed = Trouble::io(target.address.clone());
        let stream = async {
            let stream = TcpStream::connect(&target.address).await?;
            stream.set_nodelay(true)?;
            let host = target.address.split(':').next().unwrap_or_default();
            let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
            target.tls.connect(name, stream).await
        };
        let lines = format!(
            "host: {}\r\nauthorization: Bearer {}\r\naccept: application/json\r\n\
             content-type: application/json\r\ncontent-length: ",
            target.address, target.token
        );
        let stream = stream.await.map_err(failed)?;
        Ok(Self::over(stream, target.address.clone(), lines))
    }
}

impl Connection<TcpStream> {
    /// A connection to an address, for requests of a host.
    pub(crate) async fn plain(address: &str, host: &str) -> Result<Self, Trouble> {
        let stream = TcpStream::connect(address).await;
        let stream = stream.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
        let stream = stream.map_err(Trouble::io(address))?;
        Ok(Self::over(stream, address.to_owned(), of_host(host)))
    }

    /// The same in the network of another process.
    pub(crate) fn within(process: u32, address: &str, host: &str) -> Result<Self, Trouble> {
        // A thread that is in a network takes no other thread there, and a socket stays where it was made.
        let connect = || {
            let network = File::open(format!("/proc/{process}/ns/net"))?;
            setns(network, CloneFlags::CLONE_NEWNET)?;
            std::net::TcpStream::connect(address)
        };
        let connected = std::thread::scope(|scope| scope.spawn(connect).join());
        let stream = connected
            .unwrap_or_else(|_| Err(std::io::Error::other("the thread ended")))
            .and_then(|stream| {
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                TcpStream::from_std(stream)
            });
        let stream = stream.map_err(Trouble::io(address))?;
        Ok(Self::over(stream, address.to_owned(), of_host(host)))
    }
}

/// The lines that the head of every request of a host has.
fn of_host(host: &str) -> String {
    format!("host: {host}\r\ncontent-length: ")
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    fn over(stream: S, address: String, lines: String) -> Self {
        Self {
            stream,
            address,
            lines,
            request: Vec::new(),
            came: BytesMut::new(),
            left: Left::Bytes(0),
        }
    }

    /// How a request without a body is answered.
    pub(crate) async fn status(&mut self, path: &str) -> Result<StatusCode, Trouble> {
        let status = self.send(&Method::GET, path, &[]).await?;
        while self.part().await?.is_some() {}
        Ok(status)
    }

    /// What is answered to a request that must go well.
    pub(crate) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Bytes, Trouble> {
        let status = self.send(&method, path, &body).await?;
        let first = self.part().await?.unwrap_or_default();
        // Mostly there is but one part, which need not be copied.
        let answer = match self.part().await? {
            None => first,
            Some(second) => {
                let mut answer = BytesMut::from(first);
                answer.extend_from_slice(&second);
                while let Some(part) = self.part().await? {
                    answer.extend_from_slice(&part);
                }
                answer.freeze()
            }
        };
        if status.is_success() {
            return Ok(answer);
        }
        let text = String::from_utf8_lossy(&answer);
        Err(Trouble::Output(
            path.to_owned(),
            format!("{status}: {text}"),
        ))
    }

    pub(crate) async fn get(&mut self, path: &str) -> Result<Bytes, Trouble> {
        self.ask(Method::GET, path, Bytes::new()).await
    }

    /// Asks for an answer whose body goes on; [`Self::part`] reads it.
    pub(crate) async fn stream(&mut self, path: &str) -> Result<(), Trouble> {
        let status = self.send(&Method::GET, path, &[]).await?;
        if status.is_success() {
            return Ok(());
        }
        Err(Trouble::Output(path.to_owned(), status.to_string()))
    }

    /// The next part of the body; `None` at its end.
    pub(crate) async fn part(&mut self) -> Result<Option<Bytes>, Trouble> {
        loop {
            match self.left {
                Left::Bytes(0) => return Ok(None),
                Left::Bytes(left) => {
                    let part = self.take(left).await?;
                    self.left = Left::Bytes(left - part.len());
                    return Ok(Some(part));
                }
                Left::Chunk(0) => {
                    self.line().await?;
                    self.left = Left::Size;
                }
                Left::Chunk(left) => {
                    let part = self.take(left).await?;
                    self.left = Left::Chunk(left - part.len());
                    return Ok(Some(part));
                }
                Left::Size => {
                    self.left = match self.size().await? {
                        0 => {
                            self.line().await?;
                            Left::Bytes(0)
                        }
                        size => Left::Chunk(size),
                    };
                }
            }
        }
    }

    /// Sends a request and reads the head of its answer.
    async fn send(
        &mut self,
        method: &Method,
        path: &str,
        body: &[u8],
    ) -> Result<StatusCode, Trouble> {
        let length = body.len().to_string();
        self.request.clear();
        for part in [method.as_str(), " ", path, " HTTP/1.1\r\n"] {
            self.request.extend_from_slice(part.as_bytes());
        }
        for part in [&self.lines, &length, "\r\n\r\n"] {
            self.request.extend_from_slice(part.as_bytes());
        }
        self.request.extend_from_slice(body);
        let sent = async {
            self.stream.write_all(&self.request).await?;
            self.stream.flush().await
        };
        sent.await.map_err(Trouble::io(&*self.address))?;
        loop {
            self.fill().await?;
            if let Some((status, left, length)) = head(&self.came).map_err(|why| self.bad(&why))? {
                drop(self.came.split_to(length));
                self.left = left;
                return Ok(status);
            }
        }
    }

    /// Reads what has come, at least something.
    async fn fill(&mut self) -> Result<(), Trouble> {
        let read = self.stream.read_buf(&mut self.came).await;
        match read.map_err(Trouble::io(&*self.address))? {
            0 => Err(self.bad("the connection ended")),
            _ => Ok(()),
        }
    }

    /// Some bytes, at most so many.
    async fn take(&mut self, most: usize) -> Result<Bytes, Trouble> {
        if self.came.is_empty() {
            self.fill().await?;
        }
        let length = most.min(self.came.len());
        Ok(self.came.split_to(length).freeze())
    }

    async fn line(&mut self) -> Result<BytesMut, Trouble> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', &self.came) {
                return Ok(self.came.split_to(end + 1));
            }
            self.fill().await?;
        }
    }

    async fn size(&mut self) -> Result<usize, Trouble> {
        let line = self.line().await?;
        let text = std::str::from_utf8(&line).unwrap_or_default();
        usize::from_str_radix(text.trim(), 16).map_err(|error| self.bad(&error.to_string()))
    }

    fn bad(&self, why: &str) -> Trouble {
        Trouble::Output(self.address.clone(), why.to_owned())
    }
}

/// The status of an answer, what its body is, and where its head ends; `None` before all of it came.
fn head(bytes: &[u8]) -> Result<Option<(StatusCode, Left, usize)>, String> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut answer = httparse::Response::new(&mut headers);
    let parsed = answer.parse(bytes).map_err(|error| error.to_string())?;
    let (httparse::Status::Complete(length), Some(code)) = (parsed, answer.code) else {
        return Ok(None);
    };
    let status = StatusCode::from_u16(code).map_err(|error| error.to_string())?;
    let value = |name: &str| {
        let header = answer.headers.iter();
        let mut header = header.filter(|header| header.name.eq_ignore_ascii_case(name));
        header.next().map(|header| header.value)
    };
    let left = match (value("transfer-encoding"), value("content-length")) {
        (Some(b"chunked"), _) => Left::Size,
        (None, Some(length)) => std::str::from_utf8(length)
            .ok()
            .and_then(|length| length.parse().ok())
            .map(Left::Bytes)
            .ok_or("a length that is no number")?,
        _ => return Err("a body without a known end".to_owned()),
    };
    Ok(Some((status, left, length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_tell_how_bodies_end() {
        let plain = b"HTTP/1.1 201 Created\r\nContent-Length: 12\r\n\r\n{}";
        let expected = (StatusCode::CREATED, Left::Bytes(12), plain.len() - 2);
        assert_eq!(head(plain), Ok(Some(expected)));
        let pieces = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let expected = (StatusCode::OK, Left::Size, pieces.len());
        assert_eq!(head(pieces), Ok(Some(expected)));
        assert_eq!(head(&plain[..30]), Ok(None));
        assert!(head(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(head(b"nonsense\r\n\r\n").is_err());
    }
}
