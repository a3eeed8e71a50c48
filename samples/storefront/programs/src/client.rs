//! Asking another component. Its address is whatever the platform put into the environment.

use serde::de::DeserializeOwned;

/// Why another component could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The workload declares no such dependency.
    #[error("{0} is not set: the workload declares no dependency that binds it")]
    Unbound(String),
    /// It does not answer, or not well.
    #[error("{url} does not answer")]
    Request {
        /// Where it was asked.
        url: String,
        /// What happened.
        #[source]
        source: Box<ureq::Error>,
    },
    /// It answers something else than JSON of the right shape.
    #[error("{url} answers something unexpected")]
    Answer {
        /// Where it was asked.
        url: String,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

/// Asks the component whose address is in `variable` for `path`.
pub fn fetch<T: DeserializeOwned>(variable: &str, path: &str) -> Result<T, AskError> {
    let base = std::env::var(variable).map_err(|_| AskError::Unbound(variable.to_owned()))?;
    let url = join(&base, path);
    let text = ureq::get(&url)
        .call()
        .and_then(|mut answer| answer.body_mut().read_to_string())
        .map_err(|source| AskError::Request {
            url: url.clone(),
            source: Box::new(source),
        })?;
    serde_json::from_str(&text).map_err(|source| AskError::Answer { url, source })
}

fn join(base: &str, path: &str) -> String {
    format!(
        "{}/{}",
        base.trim_end_matches('/'),
        path.trim_start_matches('/')
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_join_with_one_slash() {
        assert_eq!(
            join("http://catalog:8080/", "/items"),
            "http://catalog:8080/items"
        );
        assert_eq!(
            join("http://catalog:8080", "items"),
            "http://catalog:8080/items"
        );
    }

    #[test]
    fn a_missing_dependency_is_named() {
        let error = fetch::<()>("NO_SUCH_URL", "/").unwrap_err();
        assert!(
            error.to_string().starts_with("NO_SUCH_URL is not set"),
            "{error}"
        );
    }
}
