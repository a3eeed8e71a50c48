//! Rules of the embedding program: what they are told, and that writers side by side do not outrun them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use choreo_apiserver::{
    Admission, AdmissionRequest, Admitted, Denied, NoPods, Operation, Server, Violation,
};
use futures::future::join_all;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, Client, api::PostParams};
use serde_json::{Value, json};

const ROOM: usize = 5;

type Names = Arc<Mutex<BTreeSet<String>>>;

/// Admits so many `ConfigMaps`, and notes who made them.
#[derive(Default)]
struct Few(Names);

/// A name that may be stored by now, or is about to.
#[derive(Debug)]
struct Held(Names, String);

impl Drop for Held {
    fn drop(&mut self) {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.remove(&self.1);
    }
}

impl Admission for Few {
    fn admit(&self, request: AdmissionRequest<'_>) -> Result<Admitted, Denied> {
        if request.operation != Operation::Create || request.resource.kind != "ConfigMap" {
            return Ok(Admitted::plain(request.object));
        }
        let mut object = request.object;
        object["data"] = json!({"by": request.user.name});
        let name = object["metadata"]["name"].as_str();
        let name = name.unwrap_or_default().to_owned();
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut known = held.clone();
        let mut visit = |name: &str| {
            known.insert(name.to_owned());
        };
        request
            .reader
            .each_name("", "ConfigMap", "default", &mut visit);
        if known.len() >= ROOM {
            let causes = vec![Violation {
                field: "metadata".into(),
                message: "no room".into(),
            }];
            return Err(Denied { causes });
        }
        held.insert(name.clone());
        Ok(Admitted {
            hold: Some(Box::new(Held(Arc::clone(&self.0), name))),
            ..Admitted::plain(object)
        })
    }
}

fn open(folder: &tempfile::TempDir, rules: Few) -> Server {
    Server::open(folder.path(), Vec::new(), Arc::new(rules), Arc::new(NoPods)).unwrap()
}

async fn create(client: Client, name: String) -> kube::Result<ConfigMap> {
    let object = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    Api::namespaced(client, "default")
        .create(&PostParams::default(), &object)
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_side_by_side_find_room_for_as_many_as_there_is() {
    let folder = tempfile::tempdir().unwrap();
    let names = Names::default();
    let server = open(&folder, Few(Arc::clone(&names)));
    let tasks = (0..32).map(|number| tokio::spawn(create(server.client(), format!("c{number}"))));
    let done = join_all(tasks).await.into_iter();
    let (made, refused): (Vec<_>, Vec<_>) = done.map(Result::unwrap).partition(Result::is_ok);
    assert_eq!(made.len(), ROOM);
    for one in refused {
        assert!(one.unwrap_err().to_string().contains("no room"));
    }
    assert_eq!(names.lock().unwrap().len(), 0, "what was held is let go");
    server.close().await;
}

#[tokio::test]
async fn rules_are_told_who_asks() {
    let folder = tempfile::tempdir().unwrap();
    let server = open(&folder, Few::default());
    let by = |made: ConfigMap| made.data.unwrap();
    let made = by(create(server.client(), "a".into()).await.unwrap());
    assert_eq!(made["by"], "admin");
    let made = by(create(server.client_as("node"), "b".into()).await.unwrap());
    assert_eq!(made["by"], "system:choreo:node");
    server.close().await;
}

#[tokio::test]
async fn nobody_asks_in_the_name_of_a_part_of_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let server = open(&folder, Few::default());
    for (name, expected) in [("jane", None), ("system:choreo:controllers", Some(403))] {
        let request = http::Request::get("/api/v1/namespaces/default/configmaps")
            .header("impersonate-user", name)
            .header("impersonate-group", "system:masters")
            .body(Vec::new())
            .unwrap();
        let code = match server.client().request::<Value>(request).await {
            Ok(_) => None,
            Err(kube::Error::Api(status)) => Some(status.code),
            Err(other) => panic!("{other}"),
        };
        assert_eq!(code, expected, "{name}");
    }
    server.close().await;
}
