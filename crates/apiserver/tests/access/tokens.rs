//! Tokens of service accounts: what they are for, what ends them, and who can tell.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenReview, UserInfo},
    core::v1::{Pod, ServiceAccount},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{DeleteParams, PostParams},
    config::Kubeconfig,
};
use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use serde_json::{Value, json};

use super::{by, common::refused, of, serve, token};

/// What is at a path.
async fn ask(client: &Client, path: &str) -> Value {
    let request = ::http::Request::get(path).body(Vec::new()).unwrap();
    let answer = client.request_text(request).await.unwrap();
    serde_json::from_str(&answer).unwrap()
}

/// A token of the account `default`, with what is said besides.
async fn token_for(client: &Client, spec: Value) -> kube::Result<String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
    let request: TokenRequest = of(json!({"spec": spec}));
    let made = accounts
        .create_token_request("default", &PostParams::default(), &request)
        .await?;
    Ok(made.status.unwrap().token.unwrap())
}

fn payload(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// What the server says of a token: who shows it, or why nobody is known by it.
async fn reviewed(client: &Client, token: &str, audiences: &[&str]) -> Result<UserInfo, String> {
    let reviews: Api<TokenReview> = Api::all(client.clone());
    let review = of(json!({"spec": {"token": token, "audiences": audiences}}));
    let answer = reviews.create(&PostParams::default(), &review).await;
    let status = answer.unwrap().status.unwrap();
    match status.authenticated {
        Some(true) => Ok(status.user.unwrap()),
        _ => Err(status.error.unwrap()),
    }
}

#[tokio::test]
async fn anybody_who_may_can_check_tokens_by_the_keys_that_are_told() {
    let served = serve().await;
    let admin = served.client(None).await;
    let token = token(&admin, "default", "default").await;
    // Service accounts are told; who is nobody is not.
    let account = served.client(Some(&token)).await;
    let issuer = ask(&account, "/.well-known/openid-configuration").await;
    assert_eq!(issuer["issuer"], payload(&token)["iss"]);
    let keys_at = format!("{}/openid/v1/jwks", served.url);
    assert_eq!(issuer["jwks_uri"], json!(keys_at));
    let algorithms = &issuer["id_token_signing_alg_values_supported"];
    assert_eq!(algorithms, &json!(["ES256"]));
    let keys = ask(&account, "/openid/v1/jwks").await;
    let key = |name: &str| keys["keys"][0][name].as_str().unwrap().to_owned();
    let part = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let header: Value = serde_json::from_slice(&part(signed.split('.').next().unwrap())).unwrap();
    assert_eq!(header, json!({"alg": "ES256", "kid": key("kid")}));
    let point = [&[4], &*part(&key("x")), &*part(&key("y"))].concat();
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
    public.verify(signed.as_bytes(), &part(signature)).unwrap();
    let nobody = by({
        let mut config = Kubeconfig::from_yaml(&served.kubeconfig).unwrap();
        config.auth_infos[0].auth_info = Some(of(json!({})));
        config
    })
    .await;
    let request = ::http::Request::get("/openid/v1/jwks").body(Vec::new());
    let (code, _, _) = refused(nobody.request_text(request.unwrap()).await);
    assert_eq!(code, 403);
    served.end().await;
}

#[tokio::test]
async fn a_token_is_for_those_it_names_only() {
    let served = serve().await;
    let admin = served.client(None).await;
    let other = token_for(&admin, json!({"audiences": ["vault"]}))
        .await
        .unwrap();
    assert_eq!(payload(&other)["aud"], json!(["vault"]));
    let user = reviewed(&admin, &other, &["vault", "else"]).await.unwrap();
    let name = user.username.as_deref();
    assert_eq!(name, Some("system:serviceaccount:default:default"));
    let why = reviewed(&admin, &other, &[]).await.unwrap_err();
    assert!(why.contains("is invalid for the target audiences"), "{why}");
    // Who is given a token for himself cannot use it here.
    let client = served.client(Some(&other)).await;
    let (code, _, _) = refused(client.apiserver_version().await);
    assert_eq!(code, 401);
    served.end().await;
}

#[tokio::test]
async fn a_token_ends_with_the_object_it_is_bound_to() {
    let served = serve().await;
    let admin = served.client(None).await;
    let post = PostParams::default();
    let pods: Api<Pod> = Api::namespaced(admin.clone(), "default");
    let pod = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n",
        "containers": [{"name": "main", "image": "a"}]}});
    let uid = pods
        .create(&post, &of(pod.clone()))
        .await
        .unwrap()
        .uid()
        .unwrap();
    let bound = |uid: &str| json!({"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": uid});
    let token = token_for(&admin, json!({"boundObjectRef": bound(&uid)}))
        .await
        .unwrap();
    let said = &payload(&token)["kubernetes.io"];
    assert_eq!(said["pod"], json!({"name": "p", "uid": uid}));
    assert_eq!(said["node"], json!({"name": "n"}));
    let extra = reviewed(&admin, &token, &[]).await.unwrap().extra.unwrap();
    assert_eq!(extra["authentication.kubernetes.io/pod-uid"][0], uid);

    let (code, _, why) = refused(token_for(&admin, json!({"boundObjectRef": bound("u")})).await);
    assert_eq!(code, 409);
    assert!(why.contains("does not match the UID in record"), "{why}");

    let now = DeleteParams {
        grace_period_seconds: Some(0),
        ..DeleteParams::default()
    };
    pods.delete("p", &now).await.unwrap();
    let why = reviewed(&admin, &token, &[]).await.unwrap_err();
    assert_eq!(
        why,
        "[invalid bearer token, service account token has been invalidated]"
    );
    // Another pod of the same name has a token of its own.
    let uid = pods.create(&post, &of(pod)).await.unwrap().uid().unwrap();
    let why = reviewed(&admin, &token, &[]).await.unwrap_err();
    assert!(
        why.contains(&format!("pod UID ({uid}) does not match")),
        "{why}"
    );
    let client = served.client(Some(&token)).await;
    assert_eq!(refused(client.apiserver_version().await).0, 401);
    served.end().await;
}

#[tokio::test]
async fn the_token_that_pods_get_by_default_warns_before_it_ends() {
    let served = serve().await;
    let admin = served.client(None).await;
    let pods: Api<Pod> = Api::namespaced(admin.clone(), "default");
    let pod = of(json!({"metadata": {"name": "p"},
        "spec": {"containers": [{"name": "main", "image": "a"}]}}));
    pods.create(&PostParams::default(), &pod).await.unwrap();
    let bound = json!({"kind": "Pod", "name": "p"});
    for (spec, lasts, warns) in [
        (
            json!({"boundObjectRef": bound, "expirationSeconds": 3607}),
            365 * 24 * 3600,
            true,
        ),
        (
            json!({"boundObjectRef": bound, "expirationSeconds": 3600}),
            3600,
            false,
        ),
        (json!({"expirationSeconds": 3607}), 3607, false),
    ] {
        let said = payload(&token_for(&admin, spec.clone()).await.unwrap());
        let number = |value: &Value| value.as_i64().unwrap();
        let issued = number(&said["iat"]);
        assert_eq!(number(&said["exp"]) - issued, lasts, "{spec}");
        let warned = said["kubernetes.io"]["warnafter"].as_i64();
        assert_eq!(warned, warns.then_some(issued + 3607), "{spec}");
    }
    served.end().await;
}
