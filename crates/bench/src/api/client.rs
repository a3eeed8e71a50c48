//! A small client: one connection, one request after the other, nothing read but what is asked for.
//! It takes little of the machine it shares with the server.

use std::path::Path;

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use kube::{
    client::ConfigExt as _,
    config::{KubeConfigOptions, Kubeconfig},
};
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, rustls::pki_types::ServerName};

use crate::run::Trouble;

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
pub(crate) struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    authorization: String,
    host: String,
}

impl Connection {
    pub(crate) async fn open(target: &Target) -> Result<Self, Trouble> {
        let failed = Trouble::io(target.address.clone());
        let stream = async {
            let stream = TcpStream::connect(&target.address).await?;
            stream.set_nodelay(true)?;
            let host = target
                .address
                .split(':')
                .next()
                .unwrap_or_default()
                .to_owned();
            let name = ServerName::try_from(host).map_err(std::io::Error::other)?;
            target.tls.connect(name, stream).await
        };
        let stream = stream.await.map_err(failed)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        tokio::spawn(async move {
            // Who waits for an answer is told.
            let _ = connection.await;
        });
        Ok(Self {
            sender,
            authorization: format!("Bearer {}", target.token),
            host: target.address.clone(),
        })
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<http::Response<Incoming>, Trouble> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.host)
            .header(header::AUTHORIZATION, &self.authorization)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .body(Full::new(body))
            .map_err(|error| Trouble::Output(path.to_owned(), error.to_string()))?;
        self.sender.ready().await.map_err(broken)?;
        self.sender.send_request(request).await.map_err(broken)
    }

    /// What is answered to a request that must go well.
    pub(crate) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Bytes, Trouble> {
        let answer = self.send(method, path, body).await?;
        let code = answer.status();
        let bytes = answer
            .into_body()
            .collect()
            .await
            .map_err(broken)?
            .to_bytes();
        if code.is_success() {
            return Ok(bytes);
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Err(Trouble::Output(path.to_owned(), format!("{code}: {text}")))
    }

    pub(crate) async fn get(&mut self, path: &str) -> Result<Bytes, Trouble> {
        self.ask(Method::GET, path, Bytes::new()).await
    }

    /// The body of an answer that goes on.
    pub(crate) async fn stream(&mut self, path: &str) -> Result<Incoming, Trouble> {
        let answer = self.send(Method::GET, path, Bytes::new()).await?;
        Ok(answer.into_body())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "what `map_err` hands over")]
pub(crate) fn broken(error: hyper::Error) -> Trouble {
    Trouble::Output("the server".to_owned(), error.to_string())
}
