//! gRPC's health service: one call, with its messages of one field each written out here.

use std::{io, net::Ipv4Addr, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

use super::probe::{Outcome, explain, invalid, within};

/// Longest answer that is read; the real one has seven bytes.
const LONGEST: usize = 4096;
/// Key of the only field of both messages: in the question a text, in the answer a number.
const NAME: u8 = 0x0a;
const STATUS: u8 = 0x08;
/// What the numbers of an answer stand for.
const STATUSES: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];

/// Whether the health service says in time that a service is served.
pub(super) async fn grpc(target: (Ipv4Addr, u16), service: &str, limit: Duration) -> Outcome {
    within(limit, async {
        let status = ask(target, service)
            .await
            .map_err(|error| explain(target, &error))?;
        match STATUSES.get(usize::from(status)) {
            Some(&"SERVING") => Ok(()),
            Some(other) => Err(format!("service {service:?} is {other}")),
            None => Err(format!("service {service:?} has status {status}")),
        }
    })
    .await
}

async fn ask(target: (Ipv4Addr, u16), service: &str) -> io::Result<u8> {
    let stream = TokioIo::new(TcpStream::connect(target).await?);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), stream)
        .await
        .map_err(io::Error::other)?;
    // It ends with the sender.
    tokio::spawn(connection);
    let request = request(target, service)?;
    let response = sender.send_request(request).await;
    let (head, body) = response.map_err(io::Error::other)?.into_parts();
    let body = Limited::new(body, LONGEST).collect().await;
    let body = body.map_err(io::Error::other)?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    read(&Response::from_parts(head, ()), &trailers, &body.to_bytes())
}

fn request((address, port): (Ipv4Addr, u16), service: &str) -> io::Result<Request<Full<Bytes>>> {
    Request::post(format!(
        "http://{address}:{port}/grpc.health.v1.Health/Check"
    ))
    .header("content-type", "application/grpc")
    .header("te", "trailers")
    .body(Full::new(question(service)))
    .map_err(io::Error::other)
}

/// A message that is not compressed, with its length in front.
fn question(service: &str) -> Bytes {
    let mut message = BytesMut::new();
    if !service.is_empty() {
        message.extend([NAME]);
        varint(&mut message, service.len());
        message.extend(service.as_bytes());
    }
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let head = [0].into_iter().chain(length.to_be_bytes());
    head.chain(message).collect()
}

fn varint(message: &mut BytesMut, mut number: usize) {
    while number > 0x7f {
        message.extend([u8::try_from(number & 0x7f).unwrap_or_default() | 0x80]);
        number >>= 7;
    }
    message.extend([u8::try_from(number).unwrap_or_default()]);
}

/// The status in an answer. A call that failed says so behind its message, or instead of one.
fn read(head: &Response<()>, trailers: &HeaderMap, body: &[u8]) -> io::Result<u8> {
    let told = |name: &str| {
        let value = trailers.get(name).or_else(|| head.headers().get(name))?;
        value.to_str().ok()
    };
    match told("grpc-status") {
        Some("0") => {}
        Some(code) => {
            let message = told("grpc-message").unwrap_or_default();
            return Err(invalid(&format!("gRPC status {code} {message}")));
        }
        None => {
            return Err(invalid(&format!(
                "this is no gRPC server (HTTP {})",
                head.status()
            )));
        }
    }
    match body.get(5..) {
        // What has the value that fields begin with is left out.
        Some([]) => Ok(0),
        Some([STATUS, status]) => Ok(*status),
        _ => Err(invalid("the answer is no status of health")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_name_the_service() {
        assert_eq!(question("").as_ref(), [0, 0, 0, 0, 0]);
        assert_eq!(
            question("db").as_ref(),
            [0, 0, 0, 0, 4, 0x0a, 2, b'd', b'b']
        );
        let long = question(&"x".repeat(200));
        assert_eq!(long[5..8], [0x0a, 0xc8, 1]);
    }

    #[test]
    fn answers_are_read_whole() {
        let check = |trailers: &[(&'static str, &'static str)], body: &[u8]| {
            let trailers = trailers
                .iter()
                .map(|(name, value)| {
                    (
                        http::HeaderName::from_static(name),
                        http::HeaderValue::from_static(value),
                    )
                })
                .collect();
            read(&Response::new(()), &trailers, body).map_err(|error| error.to_string())
        };
        let well = [("grpc-status", "0")];
        assert_eq!(check(&well, &[0, 0, 0, 0, 2, 8, 1]), Ok(1));
        assert_eq!(check(&well, &[0, 0, 0, 0, 0]), Ok(0));
        assert!(check(&well, &[0]).is_err());
        let failed = check(
            &[("grpc-status", "12"), ("grpc-message", "unimplemented")],
            &[],
        );
        assert_eq!(failed, Err("gRPC status 12 unimplemented".to_owned()));
        assert!(check(&[], &[]).unwrap_err().contains("no gRPC server"));
    }

    #[tokio::test]
    async fn a_server_is_asked() {
        use hyper::{server::conn::http2, service::service_fn};
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let service = service_fn(|request: Request<hyper::body::Incoming>| async {
                    let asked = request.into_body().collect().await?.to_bytes();
                    let status = if asked.ends_with(b"good") { 1 } else { 2 };
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
                    let body = Full::new(Bytes::from(vec![0, 0, 0, 0, 2, 8, status]));
                    let body = body.with_trailers(async { Some(Ok(trailers)) });
                    Ok::<_, hyper::Error>(Response::new(body))
                });
                let serving = http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(serving);
            }
        });
        let target = (Ipv4Addr::LOCALHOST, port);
        let limit = Duration::from_secs(10);
        assert_eq!(grpc(target, "good", limit).await, Ok(()));
        let bad = grpc(target, "bad", limit).await.unwrap_err();
        assert_eq!(bad, "service \"bad\" is NOT_SERVING");
    }
}
