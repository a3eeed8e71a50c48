//! What a platform has before anybody applies anything: its home, its types, its environments.

use kube::{
    Client,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use super::Settings;
use crate::{
    commands::api,
    exit::Exit,
    failure::{Failure, Result},
    kinds,
};

const HOME: &str = include_str!("home.yaml");
/// The field manager of defaults. What a person changed since is the person's.
const MANAGER: &str = "choreo";

/// Applies the defaults; changes made by others since are left alone.
pub(super) async fn apply(client: &Client, settings: &Settings) -> Result {
    let texts =
        std::iter::once(HOME).chain(choreo_model::defaults().iter().map(|default| default.yaml));
    for text in texts {
        for object in read(text)? {
            one(client, with_ports(object, settings)).await?;
        }
    }
    Ok(())
}

fn read(text: &str) -> Result<Vec<Value>> {
    serde_saphyr::from_multiple(text).map_err(|error| {
        Failure::new(Exit::Failed, "a default of the platform is broken").because(error)
    })
}

/// Gateways listen, and the data plane says so, where this machine was told to.
fn with_ports(mut object: Value, settings: &Settings) -> Value {
    let name = object["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    match (object["kind"].as_str().unwrap_or_default(), name.as_str()) {
        ("Gateway", "gateway-default") => {
            object["spec"]["listeners"][0]["port"] = json!(settings.gateway_port);
            object["spec"]["listeners"][1]["port"] = json!(settings.gateway_tls_port);
        }
        ("Gateway", "gateway-internal") => {
            object["spec"]["listeners"][0]["port"] = json!(settings.internal_gateway_port);
        }
        ("ClusterDataPlane", "default") => {
            let ingress = &mut object["spec"]["gateway"]["ingress"];
            ingress["external"]["http"]["port"] = json!(settings.gateway_port);
            ingress["internal"]["http"]["port"] = json!(settings.internal_gateway_port);
        }
        _ => {}
    }
    object
}

pub(crate) async fn one(client: &Client, object: Value) -> Result {
    let text = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (kind, name) = (text("/kind"), text("/metadata/name"));
    let resource = kinds::of_object(client, &text("/apiVersion"), &kind)
        .await?
        .ok_or_else(|| Failure::new(Exit::Failed, format!("the API does not serve {kind}")))?;
    let namespace = text("/metadata/namespace");
    let params = PatchParams::apply(MANAGER);
    match api(client, &resource, &namespace)
        .patch(&name, &params, &Patch::Apply(&object))
        .await
    {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 => {
            tracing::info!(
                kind,
                name,
                "the default was changed by others and stays as it is"
            );
            Ok(())
        }
        Err(error) => Err(Failure::new(
            Exit::Failed,
            format!("the default {kind} {name} was refused"),
        )
        .because(error)),
    }
}

#[cfg(test)]
mod tests {
    use choreo_node::gateway::{CONTROLLER, EGRESS_CLASS, EGRESS_CONTROLLER};

    use super::*;
    use crate::folder::Folder;

    #[test]
    fn gateways_are_of_the_class_the_node_serves() {
        let home = read(HOME).unwrap();
        let classes = home
            .iter()
            .filter(|object| object["kind"] == "GatewayClass");
        let classes: Vec<_> = classes
            .map(|class| {
                let controller = class["spec"]["controllerName"].as_str();
                (
                    class["metadata"]["name"].as_str().unwrap(),
                    controller.unwrap(),
                )
            })
            .collect();
        assert_eq!(
            classes,
            [("choreo", CONTROLLER), (EGRESS_CLASS, EGRESS_CONTROLLER)]
        );
    }

    #[test]
    fn gateways_and_data_plane_agree_about_ports() {
        let settings = Settings {
            folder: Folder::resolve(Some("/x".as_ref())).unwrap(),
            listen: ([127, 0, 0, 1], 0).into(),
            gateway_port: 1,
            gateway_tls_port: 3,
            internal_gateway_port: 2,
            envoy: "/envoy".into(),
            reach: choreo_node::outside::Reach::default(),
        };
        let mut ports = Vec::new();
        let texts =
            std::iter::once(HOME).chain(choreo_model::defaults().iter().map(|one| one.yaml));
        for object in texts.flat_map(|text| read(text).unwrap()) {
            let object = with_ports(object, &settings);
            let port = |pointer: &str| object.pointer(pointer).and_then(Value::as_u64);
            ports.extend(port("/spec/listeners/0/port"));
            ports.extend(port("/spec/listeners/1/port"));
            ports.extend(port("/spec/gateway/ingress/external/http/port"));
            ports.extend(port("/spec/gateway/ingress/internal/http/port"));
        }
        assert_eq!(ports, [1, 3, 2, 1, 2]);
    }
}
