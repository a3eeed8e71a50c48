//! Secrets from ExternalSecrets.

/// Keeps the Secrets of ExternalSecrets until it is dropped.
pub async fn run(client: kube::Client) {
    let _ = client;
    std::future::pending::<()>().await;
}
