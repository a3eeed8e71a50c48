//! `choreo api key`: the keys by which consumers call an API. A value is made here, goes into the store of secrets,
//! and is shown once; the API says which keys count.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use choreo_model::{
    Api,
    api::{ApiKey, ApiSpec, clients},
    names,
};
use jiff::Timestamp;
use k8s_openapi::{
    ByteString, api::core::v1::Secret as Stored, apimachinery::pkg::apis::meta::v1::Time,
};
use kube::Client;
use rand::RngExt as _;
use serde_json::{Value, json};

use crate::{
    cli::{ApiKey as Command, Format, KeyOf, OutputOnly},
    client,
    commands::secret,
    exit::Exit,
    failure::{Failure, Result},
    folder::Folder,
    manager, store, table, terminal,
};

/// How long it may take until a gateway knows of a change.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked.
const PAUSE: Duration = Duration::from_millis(50);
/// How many times a change is tried that others came before.
const TRIES: usize = 5;

/// Runs `choreo api key`.
pub(crate) async fn run(folder: &Folder, command: &Command) -> Result {
    let client = client::connect(folder).await?;
    match command {
        Command::Create(of) => create(&client, of).await,
        Command::Rotate { of, overlap } => rotate(&client, of, *overlap).await,
        Command::Revoke(of) => revoke(&client, of).await,
        Command::List {
            api,
            namespace,
            output,
        } => {
            let found = store::get::<ApiSpec>(&client, &namespace.namespace, api).await?;
            list(&found, output)
        }
    }
}

async fn create(client: &Client, of: &KeyOf) -> Result {
    let place = Place::find(client, of).await?;
    if keys(&place.api).iter().any(|key| place.is_own(key)) {
        let failure = format!("{} has a key in {} already", of.consumer, place.environment);
        return Err(
            Failure::new(Exit::Conflict, failure).hint("`choreo api key rotate` makes another one")
        );
    }
    let made = place.make(client).await?;
    let added = made.key.clone();
    place
        .change(client, |keys| keys.push(added.clone()))
        .await?;
    show(of, &place, &made)
}

async fn rotate(client: &Client, of: &KeyOf, overlap: Option<Duration>) -> Result {
    let place = Place::find(client, of).await?;
    if !keys(&place.api).iter().any(|key| place.is_own(key)) {
        return Err(place.no_key());
    }
    let until = overlap
        .map(|overlap| Timestamp::now().checked_add(overlap))
        .transpose()
        .map_err(|error| Failure::new(Exit::Invalid, "the overlap is too long").because(error))?;
    let made = place.make(client).await?;
    let added = made.key.clone();
    let gone = place
        .change(client, |keys| {
            keys.retain(|key| until.is_some() || !place.is_own(key));
            for key in keys.iter_mut().filter(|key| place.is_own(key)) {
                let sooner = key.expires.as_ref().map(|time| time.0);
                key.expires = sooner.into_iter().chain(until).min().map(Time);
            }
            keys.push(added.clone());
        })
        .await?;
    place.forget(client, &gone).await?;
    show(of, &place, &made)
}

async fn revoke(client: &Client, of: &KeyOf) -> Result {
    let place = Place::find(client, of).await?;
    if !keys(&place.api).iter().any(|key| place.is_own(key)) {
        return Err(place.no_key());
    }
    let gone = place
        .change(client, |keys| keys.retain(|key| !place.is_own(key)))
        .await?;
    place.forget(client, &gone).await?;
    match of.output.output {
        Format::Text => terminal::line(format!(
            "{}: {} has no key in {} any more",
            of.api, of.consumer, place.environment
        )),
        data @ (Format::Json | Format::Yaml) => terminal::data(data, &json!({"revoked": gone})),
    }
}

fn list(api: &Api, output: &OutputOnly) -> Result {
    let keys = keys(api);
    if let data @ (Format::Json | Format::Yaml) = output.output {
        return terminal::data(data, &keys);
    }
    let words = ["CONSUMER", "ENVIRONMENT", "KEY", "EXPIRES"];
    let mut lines = vec![words.map(str::to_owned).to_vec()];
    lines.extend(keys.iter().map(|key| {
        let expires = key.expires.as_ref().map(|time| time.0.to_string());
        vec![
            key.consumer.clone(),
            key.environment.clone(),
            key.name.clone(),
            expires.unwrap_or_else(|| "never".to_owned()),
        ]
    }));
    terminal::print(&table::aligned(&lines, terminal::coloured()))
}

fn keys(api: &Api) -> &[ApiKey] {
    api.spec.api_keys.as_ref().map_or(&[], |asked| &asked.keys)
}

/// A key that was made.
struct Made {
    key: ApiKey,
    value: String,
}

/// An API in an environment.
struct Place {
    api: Api,
    environment: String,
    consumer: String,
}

impl Place {
    async fn find(client: &Client, of: &KeyOf) -> Result<Self> {
        let api = store::get::<ApiSpec>(client, &of.namespace.namespace, &of.api).await?;
        if api.spec.api_keys.is_none() {
            let failure = Failure::new(Exit::Invalid, format!("{} asks for no keys", of.api));
            return Err(failure.hint("give it a field `apiKeys: {}`"));
        }
        Ok(Self {
            environment: environment(&api, of.env.as_deref())?,
            consumer: of.consumer.clone(),
            api,
        })
    }

    /// Whether a key is the consumer's there.
    fn is_own(&self, key: &ApiKey) -> bool {
        key.consumer == self.consumer && key.environment == self.environment
    }

    fn no_key(&self) -> Failure {
        let (consumer, environment) = (&self.consumer, &self.environment);
        let failure = format!("{consumer} has no key in {environment}");
        Failure::new(Exit::NotFound, failure).hint("`choreo api key create` makes one")
    }

    /// The entry of the store.
    fn entry(&self) -> String {
        names::api_keys(self.api.namespace(), self.api.name(), &self.environment)
    }

    /// Makes a key and stores it. It does not count before the API says so.
    async fn make(&self, client: &Client) -> Result<Made> {
        let mut random = rand::rng();
        let mut hex = |length: usize| -> String {
            let bytes = (0..length).map(|_| format!("{:02x}", random.random::<u8>()));
            bytes.collect()
        };
        let (tag, value) = (hex(4), hex(32));
        let key = ApiKey {
            name: format!("{}-{tag}", self.consumer),
            consumer: self.consumer.clone(),
            environment: self.environment.clone(),
            expires: None,
        };
        let stored = ByteString(value.clone().into_bytes());
        secret::put(
            &secret::store(client.clone()),
            &self.entry(),
            &key.name,
            stored,
        )
        .await?;
        Ok(Made { key, value })
    }

    /// Changes which keys count; the names of those that are gone. What has expired goes along.
    async fn change(
        &self,
        client: &Client,
        change: impl Fn(&mut Vec<ApiKey>),
    ) -> Result<Vec<String>> {
        let now = Timestamp::now();
        let (namespace, name) = (self.api.namespace(), self.api.name());
        let mut tries = 1;
        loop {
            let api = store::get::<ApiSpec>(client, namespace, name).await?;
            let before = keys(&api).to_vec();
            let mut after = before.clone();
            change(&mut after);
            after.retain(|key| key.expires.as_ref().is_none_or(|time| time.0 > now));
            let patch = json!({
                "metadata": {"resourceVersion": api.metadata.resource_version},
                "spec": {"apiKeys": {"keys": after}},
            });
            let place = (namespace, name);
            let written = store::merge::<ApiSpec>(client, place, patch, manager::API_KEY).await;
            match written {
                Err(failure) if failure.exit() == Exit::Conflict && tries < TRIES => tries += 1,
                Err(failure) => return Err(failure),
                Ok(_) => {
                    self.settle(client, &after).await?;
                    let gone = before.into_iter().filter(|key| {
                        key.environment == self.environment
                            && !after.contains(key)
                            && !after.iter().any(|other| other.name == key.name)
                    });
                    return Ok(gone.map(|key| key.name).collect());
                }
            }
        }
    }

    /// Waits until the gateways are given these keys, if the API is offered there.
    async fn settle(&self, client: &Client, keys: &[ApiKey]) -> Result {
        let own: Vec<&ApiKey> = keys
            .iter()
            .filter(|key| key.environment == self.environment)
            .collect();
        let wanted: BTreeSet<String> = clients(&own).into_keys().collect();
        let cell = names::cell_namespace(
            self.api.namespace(),
            &self.api.spec.owner.project_name,
            &self.environment,
        );
        let secrets: kube::Api<Stored> = kube::Api::namespaced(client.clone(), &cell);
        let name = names::api_secret(self.api.name());
        let offered = self.api.status.environments.iter();
        if !offered
            .clone()
            .any(|one| one.name == self.environment && one.reason.as_deref() != Some("NotDeployed"))
        {
            return Ok(());
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = secrets.get_opt(&name).await?;
            let found = found.and_then(|secret| secret.data).unwrap_or_default();
            if found.into_keys().collect::<BTreeSet<_>>() == wanted {
                return Ok(());
            }
            if Instant::now() > deadline {
                terminal::note("the gateways do not know of it yet; `choreo why` may tell why");
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn forget(&self, client: &Client, names: &[String]) -> Result {
        secret::forget(&secret::store(client.clone()), &self.entry(), names).await
    }
}

/// The environment that is meant: the one that is named, or the only one.
fn environment(api: &Api, named: Option<&str>) -> Result<String> {
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let offered = api.status.environments.iter().map(|one| one.name.clone());
    let all: BTreeSet<String> = offered
        .chain(api.spec.environments.iter().cloned())
        .collect();
    let all: Vec<String> = all.into_iter().collect();
    match all.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(
            Failure::new(Exit::Invalid, "say which environment the key is for")
                .hint("`--env NAME`; the API is not offered anywhere yet"),
        ),
        several => Err(
            Failure::new(Exit::Invalid, "say which environment the key is for")
                .hint(format!("`--env NAME`, one of {}", several.join(", "))),
        ),
    }
}

/// Shows a key: the only time.
fn show(of: &KeyOf, place: &Place, made: &Made) -> Result {
    let shown: Value = json!({
        "api": of.api,
        "consumer": made.key.consumer,
        "environment": place.environment,
        "name": made.key.name,
        "key": made.value,
    });
    match of.output.output {
        Format::Text => {
            terminal::note(format!(
                "the key of {} for {} in {}, which is shown this once:",
                of.consumer, of.api, place.environment
            ));
            terminal::line(&made.value)
        }
        data @ (Format::Json | Format::Yaml) => terminal::data(data, &shown),
    }
}
