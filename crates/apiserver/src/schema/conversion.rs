//! What a definition says of conversions between its versions. A webhook that converts is never
//! asked: every version of a custom kind has the same form here. But it is held to be one.

use serde_json::Value;

use super::{
    Cause,
    compile::{strings, text},
};
use crate::builtin::names;

/// Where messages find the description of the webhook.
const CLIENT: &str = "spec.conversion.webhookClientConfig";
/// Where they find the versions of reviews.
const REVIEWS: &str = "spec.conversion.conversionReviewVersions";
/// The versions of reviews that Kubernetes speaks.
const SPOKEN: [&str; 2] = ["v1", "v1beta1"];
const FORM: &str = "desired format: https://host[/path]";

/// What is wrong with the conversions of a definition.
pub(super) fn check(spec: &Value, causes: &mut Vec<Cause>) {
    let Some(conversion) = spec.get("conversion").filter(|one| one.is_object()) else {
        return;
    };
    let strategy = text(conversion, "strategy").unwrap_or_default();
    let webhook = conversion.get("webhook").unwrap_or(&Value::Null);
    let client = webhook.get("clientConfig").unwrap_or(&Value::Null);
    match strategy {
        "Webhook" => {
            check_client(client, causes);
            check_reviews(webhook, causes);
            return;
        }
        "None" => {}
        "" => causes.push(Cause::required("spec.conversion.strategy", "")),
        other => causes.push(Cause::unsupported(
            "spec.conversion.strategy",
            &Value::from(other),
            ["None", "Webhook"],
        )),
    }
    let words = "should not be set when strategy is not set to Webhook";
    if !client.is_null() {
        causes.push(Cause::forbidden(CLIENT, words));
    }
    if strings(webhook, "conversionReviewVersions")
        .next()
        .is_some()
    {
        causes.push(Cause::forbidden(REVIEWS, words));
    }
}

fn check_client(client: &Value, causes: &mut Vec<Cause>) {
    if client.is_null() {
        let words = "required when strategy is set to Webhook";
        causes.push(Cause::required(CLIENT, words));
        return;
    }
    let service = client.get("service").filter(|one| !one.is_null());
    match (text(client, "url"), service) {
        (Some(url), None) => check_url(url, causes),
        (None, Some(service)) => check_service(service, causes),
        _ => causes.push(Cause::required(
            CLIENT,
            "exactly one of url or service is required",
        )),
    }
}

fn check_url(url: &str, causes: &mut Vec<Cause>) {
    let at = format!("{CLIENT}.url");
    let mut wrong = |found: &str, words: &str| {
        causes.push(Cause::invalid(&at, &Value::from(found), words));
    };
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    if scheme != "https" {
        let words = format!("'https' is the only allowed URL scheme; {FORM}");
        wrong(scheme, &words);
    }
    let authority = if scheme.is_empty() { "" } else { rest };
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(user), host),
        None => (None, authority),
    };
    if host.is_empty() {
        wrong(host, &format!("host must be specified; {FORM}"));
    }
    if let Some(user) = user {
        wrong(user, "user information is not permitted in the URL");
    }
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    if !fragment.is_empty() {
        wrong(fragment, "fragments are not permitted in the URL");
    }
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    if !query.is_empty() {
        wrong(query, "query parameters are not permitted in the URL");
    }
}

fn check_service(service: &Value, causes: &mut Vec<Cause>) {
    let at = format!("{CLIENT}.service");
    for key in ["name", "namespace"] {
        if text(service, key).is_none_or(str::is_empty) {
            causes.push(Cause::required(&format!("{at}.{key}"), ""));
        }
    }
    if let Some(port) = service.get("port").filter(|port| !port.is_null())
        && !port
            .as_i64()
            .is_some_and(|port| (1..=65535).contains(&port))
    {
        let words = "port is not valid: must be between 1 and 65535, inclusive";
        causes.push(Cause::invalid(&format!("{at}.port"), port, words));
    }
    if let Some(path) = text(service, "path").filter(|path| !path.starts_with('/')) {
        let path = Value::from(path);
        causes.push(Cause::invalid(
            &format!("{at}.path"),
            &path,
            "must start with a '/'",
        ));
    }
}

fn check_reviews(webhook: &Value, causes: &mut Vec<Cause>) {
    let versions: Vec<&str> = strings(webhook, "conversionReviewVersions").collect();
    if versions.is_empty() {
        causes.push(Cause::required(REVIEWS, ""));
        return;
    }
    for (position, version) in versions.iter().enumerate() {
        let duplicate = versions[..position].contains(version);
        let words = if duplicate {
            Some("duplicate version".to_owned())
        } else {
            names::service(version)
        };
        if let Some(words) = words {
            let at = format!("{REVIEWS}[{position}]");
            causes.push(Cause::invalid(&at, &Value::from(*version), &words));
        }
    }
    if !versions.iter().any(|version| SPOKEN.contains(version)) {
        let words = format!("must include at least one of {}", SPOKEN.join(", "));
        causes.push(Cause::invalid(REVIEWS, &Value::from(versions), &words));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(conversion: &Value) -> Vec<String> {
        let mut causes = Vec::new();
        check(&json!({"conversion": conversion}), &mut causes);
        causes.into_iter().map(|cause| cause.field).collect()
    }

    fn webhook(client: &Value) -> Value {
        json!({"strategy": "Webhook",
            "webhook": {"clientConfig": client, "conversionReviewVersions": ["v1"]}})
    }

    #[test]
    fn webhooks_are_described_whole() {
        for good in [
            json!({"strategy": "None"}),
            webhook(&json!({"url": "https://example.com/convert"})),
            webhook(
                &json!({"service": {"name": "n", "namespace": "s", "path": "/c", "port": 8443}}),
            ),
        ] {
            assert!(fields(&good).is_empty(), "{good}");
        }
        for (client, expected) in [
            (json!({}), &[CLIENT][..]),
            (json!({"url": "https://a", "service": {}}), &[CLIENT]),
            (json!({"url": "http://a"}), &["url"]),
            (json!({"url": "https://u@a/b?c#d"}), &["url", "url", "url"]),
            (
                json!({"service": {"name": "n", "port": 0, "path": "c"}}),
                &["service.namespace", "service.port", "service.path"],
            ),
        ] {
            let found = fields(&webhook(&client));
            let found: Vec<_> = found
                .iter()
                .map(|field| field.trim_start_matches(CLIENT).trim_start_matches('.'))
                .collect();
            let expected: Vec<_> = expected
                .iter()
                .map(|field| field.trim_start_matches(CLIENT))
                .collect();
            assert_eq!(found, expected, "{client}");
        }
    }

    #[test]
    fn who_does_not_convert_has_no_webhook() {
        let given = json!({"strategy": "None", "webhook": {"clientConfig": {"url": "https://a"},
            "conversionReviewVersions": ["v1"]}});
        assert_eq!(fields(&given), [CLIENT, REVIEWS]);
        assert_eq!(
            fields(&json!({"strategy": "Odd"})),
            ["spec.conversion.strategy"]
        );
    }
}
