//! Tokens of service accounts in the volumes of pods: asked for at the API, bound to the pod, and
//! asked for anew long before they end, as a kubelet does.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{
    authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec},
    core::v1::{Pod, ServiceAccount, ServiceAccountTokenProjection},
};
use kube::{Api, Client, api::PostParams};

use super::state::Step;

/// How long a token lasts if its volume does not say, in seconds.
const HOUR: i64 = 3600;
/// The oldest that a token gets, however long it would last.
const OLDEST: SignedDuration = SignedDuration::from_hours(24);

/// What a token is asked for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// Who is to take it; empty: the API.
    pub audience: String,
    /// For how many seconds.
    pub lasts: i64,
}

impl Wanted {
    /// What a source of a volume asks for.
    pub fn by(source: &ServiceAccountTokenProjection) -> Self {
        Self {
            audience: source.audience.clone().unwrap_or_default(),
            lasts: source.expiration_seconds.unwrap_or(HOUR),
        }
    }
}

/// A token. It never shows what it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    /// The token.
    pub text: String,
    /// Since when it holds.
    pub issued: Timestamp,
    /// Until when.
    pub expires: Timestamp,
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Token")
            .field("issued", &self.issued)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

impl Token {
    /// When a newer one is asked for: after four fifths of its life, or a day.
    pub fn renewed(&self) -> Timestamp {
        let life = self.expires.duration_since(self.issued);
        let age = (life * 4 / 5).min(OLDEST);
        self.issued.checked_add(age).unwrap_or(self.expires)
    }
}

/// A token of a pod, and what is done about it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Kept {
    /// The newest there is.
    pub token: Option<Token>,
    /// The next one.
    pub next: Step,
}

impl Kept {
    /// When one has to be asked for; nothing while that is being done.
    pub fn due(&self) -> Option<Timestamp> {
        match (&self.next, &self.token) {
            (Step::Busy, _) => None,
            (Step::Failed { retry, .. }, _) => Some(*retry),
            (Step::Idle | Step::Done, Some(token)) => Some(token.renewed()),
            (Step::Idle | Step::Done, None) => Some(Timestamp::MIN),
        }
    }

    /// Takes in what came of asking; who was refused asks again at `retry`.
    pub fn note(&mut self, answer: Result<Token, String>, retry: Timestamp) {
        match answer {
            Ok(token) => {
                self.token = Some(token);
                self.next = Step::Done;
            }
            Err(message) => self.next = Step::Failed { message, retry },
        }
    }
}

/// The tokens of a pod, by what they are asked for.
pub type Tokens = BTreeMap<Wanted, Kept>;

/// The tokens that a pod's volumes hold.
pub fn wanted(pod: &Pod) -> BTreeSet<Wanted> {
    let volumes = pod
        .spec
        .iter()
        .flat_map(|spec| spec.volumes.iter().flatten());
    let sources = volumes
        .filter_map(|volume| volume.projected.as_ref())
        .flat_map(|projected| projected.sources.iter().flatten());
    sources
        .filter_map(|source| source.service_account_token.as_ref())
        .map(Wanted::by)
        .collect()
}

/// A token as its volume gets it, or why there is none.
pub fn of<'a>(tokens: &'a Tokens, wanted: &Wanted) -> Result<&'a str, String> {
    let kept = tokens.get(wanted);
    if let Some(token) = kept.and_then(|kept| kept.token.as_ref()) {
        return Ok(&token.text);
    }
    let why = match kept.map(|kept| &kept.next) {
        Some(Step::Failed { message, .. }) => message,
        Some(Step::Idle | Step::Busy | Step::Done) | None => "it is being asked for",
    };
    Err(format!("there is no token of the service account: {why}"))
}

/// Asks the API for a token of a pod's service account that holds as long as the pod is there.
pub async fn ask(client: &Client, pod: &Pod, wanted: &Wanted) -> Result<Token, String> {
    let meta = &pod.metadata;
    let spec = pod.spec.as_ref();
    let account = spec.and_then(|spec| spec.service_account_name.as_deref());
    let account = account.filter(|name| !name.is_empty()).unwrap_or("default");
    let audiences = (!wanted.audience.is_empty()).then(|| vec![wanted.audience.clone()]);
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            audiences,
            expiration_seconds: Some(wanted.lasts),
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Pod".to_owned()),
                name: meta.name.clone(),
                uid: meta.uid.clone(),
            }),
        }),
        ..TokenRequest::default()
    };
    let namespace = meta.namespace.as_deref().unwrap_or_default();
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let post = PostParams::default();
    let answer = accounts.create_token_request(account, &post, &request);
    let answer = answer.await.map_err(|error| error.to_string())?;
    read(&answer, wanted).ok_or_else(|| "the API answered without a token".to_owned())
}

fn read(answer: &TokenRequest, wanted: &Wanted) -> Option<Token> {
    let status = answer.status.as_ref()?;
    let expires = status.expiration_timestamp.as_ref()?.0;
    let granted = answer
        .spec
        .as_ref()
        .and_then(|spec| spec.expiration_seconds);
    let life = SignedDuration::from_secs(granted.unwrap_or(wanted.lasts));
    Some(Token {
        text: status.token.clone()?,
        issued: expires.checked_sub(life).ok()?,
        expires,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn tokens_are_renewed_long_before_they_end() {
        let check = |expires: &str, renewed: &str| {
            let token = Token {
                text: String::new(),
                issued: at("2026-01-01T00:00:00Z"),
                expires: at(expires),
            };
            assert_eq!(token.renewed(), at(renewed), "{expires}");
        };
        check("2026-01-01T00:10:00Z", "2026-01-01T00:08:00Z");
        check("2026-01-01T01:00:00Z", "2026-01-01T00:48:00Z");
        check("2026-01-02T06:00:00Z", "2026-01-02T00:00:00Z");
        check("2027-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
    }

    #[test]
    fn what_is_alike_is_asked_for_once() {
        let token = |said| json!({"serviceAccountToken": said});
        let volumes = json!([
            {"name": "a", "projected": {"sources": [
                token(json!({"path": "t"})), {"configMap": {"name": "c"}},
                token(json!({"path": "v", "audience": "vault", "expirationSeconds": 600})),
            ]}},
            {"name": "b", "projected": {"sources": [
                token(json!({"path": "other", "expirationSeconds": 3600})),
            ]}},
            {"name": "c", "emptyDir": {}},
        ]);
        let pod = json!({"metadata": {}, "spec": {"containers": [], "volumes": volumes}});
        let wanted = wanted(&from_value(pod).unwrap());
        let expected = [("", 3600), ("vault", 600)].map(|(audience, lasts)| Wanted {
            audience: audience.to_owned(),
            lasts,
        });
        assert_eq!(wanted, expected.into());
    }

    #[test]
    fn a_token_that_cannot_be_renewed_is_kept() {
        let (token, retry) = (
            Token {
                text: "secret".to_owned(),
                issued: at("2026-01-01T00:00:00Z"),
                expires: at("2026-01-01T01:00:00Z"),
            },
            at("2026-01-01T00:48:05Z"),
        );
        let wanted = Wanted {
            audience: String::new(),
            lasts: 3600,
        };
        let mut tokens = Tokens::new();
        assert!(
            of(&tokens, &wanted)
                .unwrap_err()
                .ends_with("it is being asked for")
        );
        let kept = tokens.entry(wanted.clone()).or_default();
        assert_eq!(kept.due(), Some(Timestamp::MIN));
        kept.note(Err("no such account".to_owned()), retry);
        assert_eq!(kept.due(), Some(retry));
        assert!(
            of(&tokens, &wanted)
                .unwrap_err()
                .ends_with("no such account")
        );
        let kept = tokens.entry(wanted.clone()).or_default();
        kept.note(Ok(token), retry);
        assert_eq!(kept.due(), Some(at("2026-01-01T00:48:00Z")));
        kept.note(Err("busy".to_owned()), retry);
        assert_eq!(kept.due(), Some(retry));
        assert!(!format!("{kept:?}").contains("secret"));
        assert_eq!(of(&tokens, &wanted), Ok("secret"));
    }
}
