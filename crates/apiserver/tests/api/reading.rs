//! Lists and watches.

use futures::StreamExt as _;

use super::*;

#[tokio::test]
async fn lists_come_in_pages_of_one_moment() {
    let fixture = fixture();
    let api: Api<ConfigMap> = Api::default_namespaced(fixture.client.clone());
    for name in ["a", "b", "c", "d"] {
        api.create(&PostParams::default(), &config(name, &json!({})))
            .await
            .unwrap();
    }
    let first = api.list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!(first.metadata.remaining_item_count, Some(2));
    api.delete("c", &DeleteParams::default()).await.unwrap();
    made(&api, "e").await;
    let resume = first.metadata.continue_.unwrap();
    let second = api
        .list(&ListParams::default().limit(9).continue_token(&resume))
        .await
        .unwrap();
    let names: Vec<_> = second.iter().map(ResourceExt::name_any).collect();
    assert_eq!(names, ["c", "d"], "as of the first page");
    assert_eq!(
        second.metadata.resource_version,
        first.metadata.resource_version
    );
}

#[tokio::test]
async fn selectors_choose() {
    let fixture = fixture();
    let api: Api<ConfigMap> = Api::default_namespaced(fixture.client.clone());
    for (name, tier) in [("a", "web"), ("b", "data"), ("c", "data")] {
        let mut object = config(name, &json!({}));
        object.labels_mut().insert("tier".into(), tier.into());
        api.create(&PostParams::default(), &object).await.unwrap();
    }
    let check = async |params: ListParams, expected: &[&str]| {
        let found = api.list(&params).await.unwrap();
        let names: Vec<_> = found.iter().map(ResourceExt::name_any).collect();
        assert_eq!(names, expected, "{params:?}");
    };
    check(ListParams::default().labels("tier=data"), &["b", "c"]).await;
    check(ListParams::default().labels("tier in (web,none)"), &["a"]).await;
    check(ListParams::default().labels("tier!=data,!other"), &["a"]).await;
    check(
        ListParams::default()
            .labels("tier")
            .fields("metadata.name!=b"),
        &["a", "c"],
    )
    .await;
    check(
        ListParams::default().fields("metadata.name=c,metadata.namespace=default"),
        &["c"],
    )
    .await;
    let (code, _, message) = refused(api.list(&ListParams::default().fields("data.k=1")).await);
    assert_eq!(
        (code, message.as_str()),
        (400, "field label not supported: data.k")
    );
}

#[tokio::test]
async fn watches_resume_and_forget() {
    let fixture = fixture();
    let api: Api<ConfigMap> = Api::default_namespaced(fixture.client.clone());
    let a = history(&api).await;
    let version = a.resource_version().unwrap();
    assert_eq!(
        events(&api, &version, 3).await,
        ["ADDED b", "MODIFIED a", "DELETED b"]
    );
    assert_eq!(events(&api, "0", 1).await, ["ADDED a"], "what there is");
    let request = http::Request::get("/api/v1/configmaps?watch=1&resourceVersion=999999");
    let future = fixture
        .client
        .request_text(request.body(Vec::new()).unwrap())
        .await;
    let (code, reason, _) = refused(future);
    assert_eq!((code, reason.as_str()), (504, "Timeout"));
}

#[tokio::test]
async fn old_versions_are_expired_inside_the_stream() {
    let fixture = fixture();
    let api: Api<ConfigMap> = Api::default_namespaced(fixture.client.clone());
    let first = made(&api, "a").await;
    // What is kept of the past is bounded.
    let big = "x".repeat(100_000);
    for number in 0..500 {
        let data = json!({"data": {"n": number.to_string(), "big": big}});
        api.patch("a", &PatchParams::default(), &Patch::Merge(data))
            .await
            .unwrap();
    }
    let version = first.resource_version().unwrap();
    assert_eq!(events(&api, &version, 1).await, ["ERROR 410"]);
}

#[tokio::test]
async fn leaving_a_selection_is_a_deletion() {
    let fixture = fixture();
    let api: Api<ConfigMap> = Api::default_namespaced(fixture.client.clone());
    let mut object = config("a", &json!({}));
    object.labels_mut().insert("on".into(), "yes".into());
    let made = api.create(&PostParams::default(), &object).await.unwrap();
    for on in ["no", "yes"] {
        let patch = Patch::Merge(json!({"metadata": {"labels": {"on": on}}}));
        api.patch("a", &PatchParams::default(), &patch)
            .await
            .unwrap();
    }
    let params = kube::api::WatchParams::default()
        .labels("on=yes")
        .timeout(10);
    let stream = api
        .watch(&params, &made.resource_version().unwrap())
        .await
        .unwrap();
    let kinds: Vec<_> = stream
        .take(2)
        .collect::<Vec<_>>()
        .await
        .into_iter()
        .map(|event| {
            format!("{:?}", event.unwrap())
                .chars()
                .take(5)
                .collect::<String>()
        })
        .collect();
    assert_eq!(kinds, ["Delet", "Added"]);
}

#[tokio::test]
async fn streaming_lists_end_with_a_bookmark() {
    use futures::AsyncBufReadExt as _;
    let fixture = fixture();
    let path = "/api/v1/namespaces?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let request = http::Request::get(path).body(Vec::new()).unwrap();
    let lines = fixture
        .client
        .request_stream(request)
        .await
        .unwrap()
        .lines();
    let lines: Vec<Value> = lines
        .take(5)
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect()
        .await;
    assert_eq!(lines[0]["type"], "ADDED");
    assert_eq!(lines[4]["type"], "BOOKMARK");
    let mark = &lines[4]["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"];
    assert_eq!(mark, "true");
    let request = http::Request::get("/api/v1/namespaces?watch=true&sendInitialEvents=true");
    let result = fixture
        .client
        .request_text(request.body(Vec::new()).unwrap())
        .await;
    assert_eq!(refused(result).0, 422);
}
