//! Ways out to whatever host is asked for, of those that a route names: Envoy hands on requests as they
//! are, which say their host, and connections in the words of a proxy (`CONNECT`), with the name that the
//! client asked for. Whether it is one of these is looked at once more here.

use std::{collections::BTreeSet, convert::Infallible, io, sync::Arc};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header::HOST};
use http_body_util::{BodyExt as _, Empty, Full, combinators::UnsyncBoxBody};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::{
    io::copy_bidirectional,
    net::{TcpStream, UnixStream},
};

use super::hostname::covers;
use crate::outside::{Bounds, Reach, connect};

type Body = UnsyncBoxBody<Bytes, hyper::Error>;

/// Serves a connection of Envoy until it ends.
pub(super) async fn serve(
    envoy: UnixStream,
    (hosts, port): (&BTreeSet<String>, u16),
    reach: &Arc<Reach>,
) -> io::Result<()> {
    let service = hyper::service::service_fn(|request| {
        let reach = Arc::clone(reach);
        async move { Ok::<_, Infallible>(answer(request, (hosts, port), &reach).await) }
    });
    hyper::server::conn::http1::Builder::new()
        .preserve_header_case(true)
        .serve_connection(TokioIo::new(envoy), service)
        .with_upgrades()
        .await
        .map_err(io::Error::other)
}

async fn answer(
    request: Request<Incoming>,
    (hosts, port): (&BTreeSet<String>, u16),
    reach: &Reach,
) -> Response<Body> {
    let Some(host) = host_of(&request) else {
        return told(StatusCode::BAD_REQUEST, "the request names no host");
    };
    if !hosts.iter().any(|known| covers(known, &host)) {
        let message = format!("{host} is not a host of the route");
        return told(StatusCode::FORBIDDEN, &message);
    }
    let outside = match connect((&host, port), Bounds::Public, reach).await {
        Ok(outside) => outside,
        Err(error) => {
            let message = format!("{host} cannot be reached: {error}");
            return told(StatusCode::BAD_GATEWAY, &message);
        }
    };
    let handed_on = if request.method() == Method::CONNECT {
        Ok(tunnel(request, outside))
    } else {
        forward(request, outside).await
    };
    handed_on.unwrap_or_else(|error| {
        let message = format!("{host} did not answer: {error}");
        told(StatusCode::BAD_GATEWAY, &message)
    })
}

/// The host that a request is for, in lower case, without port and without the dot of the root.
pub(super) fn host_of<B>(request: &Request<B>) -> Option<String> {
    let authority = request.uri().authority().map(http::uri::Authority::as_str);
    let header = request
        .headers()
        .get(HOST)
        .and_then(|host| host.to_str().ok());
    let given: http::uri::Authority = authority.or(header)?.parse().ok()?;
    let host = given.host().trim_end_matches('.').to_ascii_lowercase();
    (!host.is_empty() && host != "-").then_some(host)
}

/// Carries bytes, once Envoy has heard that it may send them.
fn tunnel(request: Request<Incoming>, mut outside: TcpStream) -> Response<Body> {
    tokio::spawn(async move {
        if let Ok(envoy) = hyper::upgrade::on(request).await {
            // What breaks has ended.
            let _ended = copy_bidirectional(&mut TokioIo::new(envoy), &mut outside).await;
        }
    });
    told(StatusCode::OK, "")
}

/// Hands a request on, and the answer back; what both sides go over to speak afterwards is carried.
async fn forward(
    mut request: Request<Incoming>,
    outside: TcpStream,
) -> Result<Response<Body>, hyper::Error> {
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .preserve_header_case(true)
        .handshake(TokioIo::new(outside))
        .await?;
    tokio::spawn(connection.with_upgrades());
    let here = hyper::upgrade::on(&mut request);
    let mut response = sender.send_request(request).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let there = hyper::upgrade::on(&mut response);
        tokio::spawn(async move {
            if let (Ok(here), Ok(there)) = tokio::join!(here, there) {
                let (mut here, mut there) = (TokioIo::new(here), TokioIo::new(there));
                // What breaks has ended.
                let _ended = copy_bidirectional(&mut here, &mut there).await;
            }
        });
    }
    Ok(response.map(Incoming::boxed_unsync))
}

/// An answer of the way out itself.
fn told(status: StatusCode, message: &str) -> Response<Body> {
    let body = if message.is_empty() {
        Empty::new().map_err(|never| match never {}).boxed_unsync()
    } else {
        let text = Full::from(format!("{message}\n"));
        text.map_err(|never| match never {}).boxed_unsync()
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    /// What comes back for some bytes, with `a.wild.test` being somebody who says what it heard.
    async fn say(bytes: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let reach = Reach {
            instead: BTreeMap::from([(
                ("a.wild.test".to_owned(), 80),
                listener.local_addr().unwrap(),
            )]),
            ..Reach::default()
        };
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heard = [0; 1024];
            let length = stream.read(&mut heard).await.unwrap();
            let heard = String::from_utf8_lossy(&heard[..length]).into_owned();
            let answer = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nheard {heard}");
            stream.write_all(answer.as_bytes()).await.unwrap();
        });
        let (mut client, envoy) = UnixStream::pair().unwrap();
        let hosts = BTreeSet::from(["*.wild.test".to_owned()]);
        let served = tokio::spawn(async move {
            let _ended = serve(envoy, (&hosts, 80), &Arc::new(reach)).await;
        });
        client.write_all(bytes.as_bytes()).await.unwrap();
        let mut said = vec![0; 4096];
        let mut length = 0;
        while !String::from_utf8_lossy(&said[..length]).contains("\r\n\r\n") {
            length += client.read(&mut said[length..]).await.unwrap();
        }
        if bytes.starts_with("CONNECT") && said.starts_with(b"HTTP/1.1 200") {
            client.write_all(b"through").await.unwrap();
        }
        client.shutdown().await.unwrap();
        let mut rest = Vec::new();
        client.read_to_end(&mut rest).await.unwrap();
        served.abort();
        said.truncate(length);
        said.extend(rest);
        String::from_utf8_lossy(&said).into_owned()
    }

    #[tokio::test]
    async fn requests_go_to_the_hosts_of_the_route_only() {
        let said = say("GET /x%2Fy HTTP/1.1\r\nHost: A.wild.test:80\r\n\r\n").await;
        assert!(said.contains("heard GET /x%2Fy HTTP/1.1"), "{said}");
        for (host, status) in [
            ("evil.test", "403"),
            ("wild.test", "403"),
            ("a.wild.test.evil.test", "403"),
            ("127.0.0.1", "403"),
            ("", "400"),
        ] {
            let said = say(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
            assert!(
                said.starts_with(&format!("HTTP/1.1 {status}")),
                "{host}: {said}"
            );
        }
    }

    #[tokio::test]
    async fn connections_go_there_as_they_are() {
        let said = say("CONNECT a.wild.test:80 HTTP/1.1\r\nHost: a.wild.test:80\r\n\r\n").await;
        assert!(said.starts_with("HTTP/1.1 200"), "{said}");
        assert!(said.ends_with("heard through"), "{said}");
        let said = say("CONNECT -:80 HTTP/1.1\r\nHost: -:80\r\n\r\n").await;
        assert!(said.starts_with("HTTP/1.1 400"), "{said}");
    }
}
