//! Paths of the Kubernetes API.

use std::borrow::Cow;

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// `/version`
    Version,
    /// `/healthz`, `/livez`, `/readyz`
    Health,
    /// `/metrics`
    Metrics,
    /// `/.well-known/openid-configuration`: who issues tokens of service accounts
    Issuer,
    /// `/openid/v1/jwks`: the keys that check them
    Keys,
    /// `/api`
    CoreVersions,
    /// `/apis`
    Groups,
    /// `/apis/GROUP`
    Group(String),
    /// `/api/v1`, `/apis/GROUP/VERSION`
    Resources { group: String, version: String },
    /// `/openapi/v2`
    OpenApi2,
    /// `/openapi/v3`
    OpenApiIndex,
    /// `/openapi/v3/api/v1`: the part behind the prefix.
    OpenApi(String),
    /// Objects.
    Objects(Objects),
    /// Nothing that is served.
    Unknown,
}

/// A collection, an object or a subresource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Objects {
    pub(crate) group: String,
    pub(crate) version: String,
    /// Empty for cluster-wide kinds and for all namespaces.
    pub(crate) namespace: String,
    pub(crate) plural: String,
    /// Empty for collections.
    pub(crate) name: String,
    pub(crate) subresource: String,
    /// `/api/v1/watch/...`, as watches were asked for once.
    pub(crate) watch: bool,
}

/// What of a pod is talked to for as long as client and pod like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Talk {
    /// What a container runs.
    Attach,
    /// A command that is run for it.
    Exec,
    /// Its ports.
    PortForward,
}

impl Objects {
    /// What of a pod is to be talked to, with the pod's namespace and name.
    pub(crate) fn talk(&self) -> Option<(Talk, &str, &str)> {
        let pods = self.group.is_empty() && self.version == "v1" && self.plural == "pods";
        let talk = match self.subresource.as_str() {
            "attach" => Talk::Attach,
            "exec" => Talk::Exec,
            "portforward" => Talk::PortForward,
            _ => return None,
        };
        let one = pods && !self.namespace.is_empty();
        one.then_some((talk, &*self.namespace, &*self.name))
    }
}

impl Route {
    /// Reads a path. Segments are decoded after they are told apart.
    pub(crate) fn parse(path: &str) -> Self {
        let segments: Option<Vec<Cow<'_, str>>> = path
            .trim_matches('/')
            .split('/')
            .map(super::query::decode_path)
            .collect();
        let Some(segments) = segments else {
            return Self::Unknown;
        };
        let segments: Vec<&str> = segments.iter().map(|segment| &**segment).collect();
        match segments.as_slice() {
            ["version"] => Self::Version,
            ["healthz" | "livez" | "readyz"]
            | ["healthz" | "livez" | "readyz", "etcd" | "log" | "ping"] => Self::Health,
            ["metrics"] => Self::Metrics,
            [".well-known", "openid-configuration"] => Self::Issuer,
            ["openid", "v1", "jwks"] => Self::Keys,
            ["api"] => Self::CoreVersions,
            ["apis"] => Self::Groups,
            ["apis", group] => Self::Group((*group).to_owned()),
            ["openapi", "v2"] => Self::OpenApi2,
            ["openapi", "v3"] => Self::OpenApiIndex,
            ["openapi", "v3", rest @ ..] => Self::OpenApi(rest.join("/")),
            ["api", version, rest @ ..] => maybe_watch("", version, rest),
            ["apis", group, version, rest @ ..] => maybe_watch(group, version, rest),
            _ => Self::Unknown,
        }
    }
}

fn maybe_watch(group: &str, version: &str, rest: &[&str]) -> Route {
    let ["watch", rest @ ..] = rest else {
        return within(group, version, rest);
    };
    let watched = within(group, version, rest);
    if let Route::Objects(objects) = watched
        && objects.subresource.is_empty()
    {
        return Route::Objects(Objects {
            watch: true,
            ..objects
        });
    }
    Route::Unknown
}

fn within(group: &str, version: &str, rest: &[&str]) -> Route {
    let (group, version) = (group.to_owned(), version.to_owned());
    let (namespace, rest) = match rest {
        [] => return Route::Resources { group, version },
        // `/namespaces/x` and its subresources are about the namespace itself.
        ["namespaces", namespace, rest @ ..] if !matches!(rest, [] | ["status" | "finalize"]) => {
            ((*namespace).to_owned(), rest)
        }
        rest => (String::new(), rest),
    };
    let objects = Objects {
        group,
        version,
        namespace,
        ..Objects::default()
    };
    let [plural, name, subresource] = match *rest {
        [plural] => [plural, "", ""],
        [plural, name] => [plural, name, ""],
        [plural, name, subresource] => [plural, name, subresource],
        _ => return Route::Unknown,
    };
    Route::Objects(Objects {
        plural: plural.to_owned(),
        name: name.to_owned(),
        subresource: subresource.to_owned(),
        ..objects
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, expected: [&str; 6]) {
        let [group, version, namespace, plural, name, subresource] = expected.map(str::to_owned);
        let objects = Objects {
            group,
            version,
            namespace,
            plural,
            name,
            subresource,
            watch: false,
        };
        assert_eq!(Route::parse(path), Route::Objects(objects), "{path}");
    }

    #[test]
    fn objects() {
        check("/api/v1/namespaces", ["", "v1", "", "namespaces", "", ""]);
        check(
            "/api/v1/namespaces/x",
            ["", "v1", "", "namespaces", "x", ""],
        );
        check(
            "/api/v1/namespaces/x/finalize",
            ["", "v1", "", "namespaces", "x", "finalize"],
        );
        check(
            "/api/v1/namespaces/x/pods/p/log",
            ["", "v1", "x", "pods", "p", "log"],
        );
        check(
            "/apis/apps/v1/deployments",
            ["apps", "v1", "", "deployments", "", ""],
        );
        check(
            "/apis/g/v1/namespaces/n/ks/a%2Fb",
            ["g", "v1", "n", "ks", "a/b", ""],
        );
    }

    #[test]
    fn others() {
        assert_eq!(Route::parse("/api"), Route::CoreVersions);
        assert_eq!(Route::parse("/livez/ping"), Route::Health);
        assert_eq!(
            Route::parse("/openapi/v3/apis/apps/v1"),
            Route::OpenApi("apis/apps/v1".into())
        );
        assert_eq!(Route::parse("/nothing"), Route::Unknown);
    }
}
