//! Policies and routes that change, as a client of the gateway sees it.

use std::time::{Duration, Instant};

use http::StatusCode;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::Api;
use serde_json::json;
use tokio::net::TcpStream;

use super::home::{HOST, Home, PATH, SERVER, create, delete, route};
use crate::{
    api::{client::Connection, load::Times},
    figure::Figure,
    run::Trouble,
};

/// How long a change may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How soon a policy that refuses is enforced, and one that is gone is not; how soon a route is served.
pub(super) async fn measure(home: &Home, changes: usize) -> Result<Vec<Figure>, Trouble> {
    let (shut, opened) = policies(home, changes).await?;
    let served = routes(home, changes).await?;
    Ok(vec![
        Figure::new("policy-enforced-p50", shut.at(0.5), "ms").at_most(50.0),
        Figure::new("policy-enforced-p99", shut.at(0.99), "ms"),
        Figure::new("policy-lifted-p50", opened.at(0.5), "ms").at_most(50.0),
        Figure::new("route-served-p50", served.at(0.5), "ms").at_most(100.0),
        Figure::new("route-served-p99", served.at(0.99), "ms"),
    ])
}

async fn policies(home: &Home, changes: usize) -> Result<(Times, Times), Trouble> {
    let policies: Api<NetworkPolicy> = home.api();
    let mut connection = Connection::plain(&home.gateway(), HOST).await?;
    until(&mut connection, |status| status == StatusCode::OK).await?;
    let (mut shut, mut opened) = (Vec::new(), Vec::new());
    for _ in 0..changes {
        let policy = json!({
            "metadata": { "name": "shut" },
            "spec": {
                "podSelector": { "matchLabels": { "app": SERVER } }, "policyTypes": ["Ingress"],
            },
        });
        let began = Instant::now();
        create(&policies, policy).await?;
        until(&mut connection, |status| status != StatusCode::OK).await?;
        shut.push(began.elapsed());
        let began = Instant::now();
        delete(&policies, "shut").await?;
        until(&mut connection, |status| status == StatusCode::OK).await?;
        opened.push(began.elapsed());
    }
    Ok((Times::new(shut), Times::new(opened)))
}

async fn routes(home: &Home, changes: usize) -> Result<Times, Trouble> {
    let mut served = Vec::new();
    for change in 0..changes {
        let (name, host) = (format!("route-{change}"), format!("{change}.{HOST}"));
        let mut connection = Connection::plain(&home.gateway(), &host).await?;
        let began = Instant::now();
        create(&home.routes(), route(&name, &host)).await?;
        until(&mut connection, |status| status == StatusCode::OK).await?;
        served.push(began.elapsed());
    }
    Ok(Times::new(served))
}

/// Asks again and again until the answer is as it should be.
async fn until(
    connection: &mut Connection<TcpStream>,
    is_so: impl Fn(StatusCode) -> bool,
) -> Result<(), Trouble> {
    let asked = async {
        loop {
            if is_so(connection.status(PATH).await?) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let late = |_| Trouble::Output(PATH.to_owned(), format!("the same after {PATIENCE:?}"));
    tokio::time::timeout(PATIENCE, asked).await.map_err(late)?
}
