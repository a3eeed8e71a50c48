//! `choreo delete`: the reverse of apply, and the wait until nothing is left.

use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject, Preconditions},
    runtime::{conditions, wait::await_condition},
};

use super::apply::api;
use crate::{
    cli::Delete,
    client,
    exit::Exit,
    failure::{Failure, Result},
    folder::Folder,
    kinds, manifest, terminal,
};

/// An object to delete.
struct Target {
    api: Api<DynamicObject>,
    name: String,
    shown: String,
}

/// Runs `choreo delete`.
pub(crate) async fn run(folder: &Folder, args: &Delete) -> Result {
    let from_files = !args.filenames.is_empty();
    let documents = if from_files {
        manifest::read(&args.filenames)?
    } else {
        Vec::new()
    };
    let client = client::connect(folder).await?;
    let targets = if from_files {
        of_documents(&client, &documents, &args.namespace.namespace).await?
    } else {
        of_words(&client, &args.target, &args.namespace.namespace).await?
    };
    let mut going = Vec::new();
    for target in targets {
        if let Some(uid) = delete(&target, from_files).await? {
            terminal::line(format!("{} deleted", target.shown))?;
            going.push((target, uid));
        }
    }
    if args.no_wait {
        Ok(())
    } else {
        gone(going, args.timeout).await
    }
}

/// The objects of files, last first: what needs something goes before what it needs.
async fn of_documents(
    client: &Client,
    documents: &[manifest::Document],
    namespace: &str,
) -> Result<Vec<Target>> {
    let mut targets = Vec::new();
    for document in documents.iter().rev() {
        let found = kinds::of_object(client, document.api_version(), document.kind()).await?;
        // A kind that is not served has no objects that could be left.
        let Some(resource) = found else { continue };
        targets.push(Target {
            api: api(client, &resource, document.namespace().unwrap_or(namespace)),
            name: document.name().to_owned(),
            shown: format!("{}/{}", resource.qualified(), document.name()),
        });
    }
    Ok(targets)
}

async fn of_words(client: &Client, words: &[String], namespace: &str) -> Result<Vec<Target>> {
    let (kind, names) = kind_and_names(words)?;
    if names.is_empty() {
        return Err(
            Failure::new(Exit::Usage, format!("which {kind}?")).hint("name the objects to delete")
        );
    }
    let mut targets = Vec::new();
    for resource in kinds::find(client, &kind).await? {
        targets.extend(names.iter().map(|name| Target {
            api: api(client, &resource, namespace),
            name: name.clone(),
            shown: format!("{}/{name}", resource.qualified()),
        }));
    }
    Ok(targets)
}

/// Reads `KIND NAME...` or `KIND/NAME`.
pub(crate) fn kind_and_names(words: &[String]) -> Result<(String, Vec<String>)> {
    match words {
        [] => Err(Failure::new(Exit::Usage, "name a kind")),
        [word, rest @ ..] => match word.split_once('/') {
            Some((kind, name)) if rest.is_empty() && !name.is_empty() => {
                Ok((kind.to_owned(), vec![name.to_owned()]))
            }
            Some(_) => Err(Failure::new(
                Exit::Usage,
                format!("`{}` cannot be read", words.join(" ")),
            )
            .hint("write KIND NAME or KIND/NAME")),
            None => Ok((word.clone(), rest.to_vec())),
        },
    }
}

/// Deletes an object and returns its uid. From files, what is not there is as good as deleted.
async fn delete(target: &Target, may_be_missing: bool) -> Result<Option<String>> {
    let Some(object) = target.api.get_opt(&target.name).await? else {
        return if may_be_missing {
            Ok(None)
        } else {
            Err(Failure::new(
                Exit::NotFound,
                format!("{} does not exist", target.shown),
            ))
        };
    };
    let uid = object.metadata.uid.unwrap_or_default();
    let params = DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(uid.clone()),
            resource_version: None,
        }),
        ..DeleteParams::background()
    };
    match target.api.delete(&target.name, &params).await {
        Ok(_) => Ok(Some(uid)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Some(uid)),
        Err(error) => Err(error.into()),
    }
}

/// Waits until every object is gone; names what is still there when time is up.
async fn gone(going: Vec<(Target, String)>, timeout: Duration) -> Result {
    let shown: Vec<String> = going
        .iter()
        .map(|(target, _)| target.shown.clone())
        .collect();
    let waits = stream::iter(going.iter().map(|(target, uid)| async move {
        let condition = conditions::is_deleted(uid);
        await_condition(target.api.clone(), &target.name, condition)
            .await
            .map(drop)
    }));
    let all = waits.buffer_unordered(32).try_collect::<Vec<()>>();
    match tokio::time::timeout(timeout, all).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => {
            Err(Failure::new(Exit::Failed, "waiting for the deletion failed").because(error))
        }
        Err(_) => Err(still_there(&going, &shown).await),
    }
}

async fn still_there(going: &[(Target, String)], shown: &[String]) -> Failure {
    let mut left = Vec::new();
    for ((target, uid), shown) in going.iter().zip(shown) {
        let Ok(Some(object)) = target.api.get_opt(&target.name).await else {
            continue;
        };
        if object.metadata.uid.as_ref() == Some(uid) {
            let finalizers = object.metadata.finalizers.unwrap_or_default().join(", ");
            left.push(format!("{shown} (waits for {finalizers})"));
        }
    }
    Failure::new(
        Exit::NotReady,
        format!("not gone in time: {}", left.join("; ")),
    )
    .hint("deletion goes on; `choreo status` shows what holds it")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Option<(String, Vec<String>)> {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        kind_and_names(&words).ok()
    }

    #[test]
    fn kinds_and_names() {
        let one = Some(("component".to_owned(), vec!["a".to_owned()]));
        assert_eq!(read(&["component", "a"]), one);
        assert_eq!(read(&["component/a"]), one);
        assert_eq!(
            read(&["component"]),
            Some(("component".to_owned(), Vec::new()))
        );
        assert_eq!(read(&["component/a", "b"]), None);
        assert_eq!(read(&["component/"]), None);
    }
}
