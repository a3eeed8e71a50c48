//! `choreo why`: from anything that is not as it should be to what a person can do about it.

use crate::{
    cli::{Format, Subject},
    client,
    commands::target,
    failure::Result,
    folder::Folder,
    terminal::{self, Style, paint},
    tree::{self, State},
    why::{self, Link},
};

/// Runs `choreo why`.
pub(crate) async fn run(folder: &Folder, args: &Subject) -> Result {
    let client = client::connect(folder).await?;
    let place = (args.namespace.namespace.as_str(), args.env.as_deref());
    let found = target::find(&client, &args.target, place).await?;
    let link = why::trace(&client, &found.resource, found.object).await?;
    match args.output {
        data @ (Format::Json | Format::Yaml) => terminal::data(data, &link),
        Format::Text => terminal::print(&text(&link, terminal::coloured())),
    }
}

/// The chain as a tree, and what to do.
fn text(link: &Link, coloured: bool) -> String {
    let mut text = tree::draw_kinds(&[link.item()], coloured);
    if matches!(link.state, State::Ready | State::Off) {
        return text;
    }
    let advices = link.advices();
    if !advices.is_empty() {
        text.extend(["\n", &paint("What to do:", Style::Strong, coloured), "\n"]);
    }
    for advice in advices {
        text.extend(["  - ", advice, "\n"]);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{
        kinds,
        testing::{Api, SHOP},
    };

    async fn trace(api: &Api, kind: &str, name: &str) -> Link {
        let resource = kinds::platform(kind).unwrap();
        let object = crate::commands::api(&api.client, &resource, "default");
        let object = serde_json::to_value(object.get(name).await.unwrap()).unwrap();
        why::trace(&api.client, &resource, object).await.unwrap()
    }

    /// The kinds on the way to the deepest cause.
    fn way(link: &Link) -> Vec<&str> {
        let mut way = vec![link.kind.as_str()];
        way.extend(link.because.first().into_iter().flat_map(self::way));
        way
    }

    fn ready_is(reason: &'static str) -> impl Fn(&Value) -> Option<()> {
        move |object| {
            let conditions = object["status"]["conditions"].as_array()?;
            let ready = conditions.iter().find(|one| one["type"] == "Ready")?;
            (ready["reason"] == reason).then_some(())
        }
    }

    #[tokio::test]
    async fn a_component_without_its_workload_says_what_to_apply() {
        let api = Api::with_controllers().await;
        let documents: Vec<&str> = SHOP.split("---").take(2).collect();
        api.apply(&documents.join("---")).await.unwrap();
        api.until("Component", "web", ready_is("WorkloadNotFound"))
            .await;
        let link = trace(&api, "Project", "shop").await;
        let web = link.because.iter().find(|one| one.name == "web").unwrap();
        assert_eq!(web.reason, "WorkloadNotFound");
        let said = text(&link, false);
        assert!(
            said.contains("apply a Workload with spec.owner.projectName shop"),
            "{said}"
        );
        api.stop().await;
    }

    /// No node runs here: nobody makes pods.
    #[tokio::test]
    async fn a_binding_leads_to_the_object_that_is_not_ready() {
        let api = Api::with_controllers().await;
        api.apply(SHOP).await.unwrap();
        api.until(
            "ReleaseBinding",
            "web-development",
            ready_is("ResourcesProgressing"),
        )
        .await;
        api.until("RenderedRelease", "web-development", |rendered| {
            let resources = rendered["status"]["resources"].as_array()?;
            (!resources.is_empty()).then_some(())
        })
        .await;
        let link = trace(&api, "Component", "web").await;
        let expected = [
            "Component",
            "ReleaseBinding",
            "RenderedRelease",
            "Deployment",
        ];
        assert_eq!(way(&link), expected);
        api.stop().await;
    }
}
