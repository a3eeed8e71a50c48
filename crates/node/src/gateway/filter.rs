//! Filters of rules and backends in Envoy's words.

use serde_json::{Map, Value, json};

use super::{
    action::Origin,
    matching::check_token,
    objects::{
        BackendRef, Cors, Filter, HeaderModifier, Mirror, PathModifier, Redirect, Rewrite, Rule,
    },
    point::Point,
    status::Problem,
    world::World,
};

/// Where a route holds what it says to filters.
pub(super) const PER_FILTER: &str = "typed_per_filter_config";
/// The name of the filter for requests across origins.
pub(super) const CORS_FILTER: &str = "envoy.filters.http.cors";
/// What the Gateway API says a preflight answer is good for, in seconds.
const CORS_MAX_AGE: u32 = 5;

/// The filters of a rule.
#[derive(Debug, Default)]
pub(super) struct Filters {
    around: Map<String, Value>,
    mirrors: Vec<Value>,
    redirect: Option<Redirect>,
    rewrite: Option<Rewrite>,
    /// What a redirect that leaves scheme and port open leads to: the listener's.
    here: Option<(&'static str, u16)>,
}

/// Reads the filters of a rule; one that cannot be served refuses the rule, for a request must not
/// pass without it.
pub(super) fn read(
    from: Origin<'_>,
    rule: &Rule,
    point: Option<&Point<'_>>,
    world: &mut World<'_>,
    problems: &mut Vec<Problem>,
) -> Result<Filters, Problem> {
    let mut filters = Filters {
        here: point.map(|point| (scheme_of(point), point.listener.port)),
        ..Filters::default()
    };
    for filter in &rule.filters {
        match filter.kind.as_str() {
            "RequestHeaderModifier" => headers(
                "request",
                &filter.request_header_modifier,
                &mut filters.around,
            )?,
            "ResponseHeaderModifier" => headers(
                "response",
                &filter.response_header_modifier,
                &mut filters.around,
            )?,
            "RequestRedirect" => filters.redirect = Some(filter.request_redirect.clone()),
            "URLRewrite" => filters.rewrite = Some(filter.url_rewrite.clone()),
            "RequestMirror" => {
                match mirror(from, &filter.request_mirror, world) {
                    Ok(mirror) => filters.mirrors.push(mirror),
                    // Without its copy a request is served all the same.
                    Err(problem) => problems.push(problem),
                }
            }
            "CORS" => {
                filters
                    .around
                    .insert(PER_FILTER.into(), json!({CORS_FILTER: cors(&filter.cors)?}));
            }
            _ => return Err(unknown(filter)),
        }
    }
    if filters.redirect.is_some() && filters.rewrite.is_some() {
        return Err(Problem::refused(
            "IncompatibleFilters",
            "a rule cannot both redirect and rewrite",
        ));
    }
    Ok(filters)
}

/// The header changes of a backend's own filters.
pub(super) fn of_backend(reference: &BackendRef) -> Result<Map<String, Value>, Problem> {
    let mut changes = Map::new();
    for filter in &reference.filters {
        match filter.kind.as_str() {
            "RequestHeaderModifier" => {
                headers("request", &filter.request_header_modifier, &mut changes)?;
            }
            "ResponseHeaderModifier" => {
                headers("response", &filter.response_header_modifier, &mut changes)?;
            }
            _ => return Err(unknown(filter)),
        }
    }
    Ok(changes)
}

fn unknown(filter: &Filter) -> Problem {
    Problem::unsupported(format!("filter {} is not supported here", filter.kind))
}

impl Filters {
    pub(super) fn redirects(&self) -> bool {
        self.redirect.is_some()
    }

    /// Fields of the Envoy route itself.
    pub(super) fn around(&self) -> Map<String, Value> {
        self.around.clone()
    }

    /// Fields of Envoy's `RouteAction`; `prefix` is what a path prefix match matched, without its
    /// last `/`.
    pub(super) fn rewrite(&self, prefix: Option<&str>) -> Result<Map<String, Value>, Problem> {
        let mut fields = Map::new();
        if !self.mirrors.is_empty() {
            fields.insert("request_mirror_policies".into(), json!(self.mirrors));
        }
        let Some(rewrite) = &self.rewrite else {
            return Ok(fields);
        };
        if let Some(hostname) = &rewrite.hostname {
            check_text("hostname", hostname)?;
            fields.insert("host_rewrite_literal".into(), json!(hostname));
        }
        match &rewrite.path {
            None => {}
            Some(path) if path.kind == "ReplaceFullPath" => {
                check_text("path", &path.replace_full_path)?;
                let substitution = path.replace_full_path.replace('\\', r"\\");
                let regex = json!({"pattern": {"regex": "^/.*$"}, "substitution": substitution});
                fields.insert("regex_rewrite".into(), regex);
            }
            Some(path) => fields.extend(prefix_rewrite(path, prefix)?),
        }
        Ok(fields)
    }

    /// Envoy's `RedirectAction`.
    pub(super) fn redirect(&self, prefix: Option<&str>) -> Result<Map<String, Value>, Problem> {
        let mut fields = Map::new();
        let Some(redirect) = &self.redirect else {
            return Ok(fields);
        };
        let scheme = redirect.scheme.as_deref().map(str::to_lowercase);
        let port = redirect_port(redirect, scheme.as_deref(), self.here);
        if let Some(scheme) = scheme {
            if !matches!(scheme.as_str(), "http" | "https") {
                let message = format!("{scheme:?} is not a scheme to redirect to");
                return Err(Problem::unsupported(message));
            }
            fields.insert("scheme_redirect".into(), json!(scheme));
        }
        if let Some(hostname) = &redirect.hostname {
            check_text("hostname", hostname)?;
            fields.insert("host_redirect".into(), json!(hostname));
        }
        if let Some(port) = port {
            fields.insert("port_redirect".into(), json!(port));
        }
        match &redirect.path {
            None => {}
            Some(path) if path.kind == "ReplaceFullPath" => {
                check_text("path", &path.replace_full_path)?;
                fields.insert("path_redirect".into(), json!(path.replace_full_path));
            }
            Some(path) => fields.extend(prefix_rewrite(path, prefix)?),
        }
        let code = match redirect.status_code.unwrap_or(302) {
            301 => "MOVED_PERMANENTLY",
            302 => "FOUND",
            303 => "SEE_OTHER",
            307 => "TEMPORARY_REDIRECT",
            308 => "PERMANENT_REDIRECT",
            other => {
                let message = format!("{other} is not a status of a redirect");
                return Err(Problem::unsupported(message));
            }
        };
        fields.insert("response_code".into(), json!(code));
        Ok(fields)
    }
}

fn scheme_of(point: &Point<'_>) -> &'static str {
    if point.tls.is_some() { "https" } else { "http" }
}

/// The port of a redirect, if it has to be said: one that is asked for, else the usual one of the scheme
/// that is asked for, else the listener's.
fn redirect_port(
    redirect: &Redirect,
    scheme: Option<&str>,
    here: Option<(&str, u16)>,
) -> Option<u16> {
    let usual = |scheme: &str| match scheme {
        "https" => 443,
        _ => 80,
    };
    // With the hostname kept, a port that the client already sees would stay in the answer.
    let kept = redirect.hostname.is_none();
    let is_usual = |port: u16, scheme: Option<&str>| scheme.is_some_and(|s| usual(s) == port);
    match (redirect.port, scheme, here) {
        (Some(port), scheme, here) => {
            let scheme = scheme.or_else(|| here.map(|(scheme, _)| scheme));
            (kept || !is_usual(port, scheme)).then_some(port)
        }
        (None, Some(scheme), _) => kept.then(|| usual(scheme)),
        (None, None, Some((scheme, port))) if !kept => {
            (!is_usual(port, Some(scheme))).then_some(port)
        }
        (None, None, _) => None,
    }
}

/// Replaces the matched prefix, whole segments at a time: `/` keeps exactly one slash in front of what
/// follows.
fn prefix_rewrite(
    path: &PathModifier,
    prefix: Option<&str>,
) -> Result<Map<String, Value>, Problem> {
    if path.kind != "ReplacePrefixMatch" {
        return Err(Problem::unsupported(format!("path change {:?}", path.kind)));
    }
    let Some(prefix) = prefix else {
        return Err(Problem::unsupported(
            "ReplacePrefixMatch needs a match of type PathPrefix",
        ));
    };
    check_text("path", &path.replace_prefix_match)?;
    let new = path.replace_prefix_match.trim_end_matches('/');
    let mut fields = Map::new();
    match (prefix, new) {
        ("", "") => {}
        ("", new) => {
            fields.insert("prefix_rewrite".into(), json!(format!("{new}/")));
        }
        (prefix, "") => {
            let regex = format!("^{}/*", regex::escape(prefix));
            let rewrite = json!({"pattern": {"regex": regex}, "substitution": "/"});
            fields.insert("regex_rewrite".into(), rewrite);
        }
        (_, new) => {
            fields.insert("prefix_rewrite".into(), json!(new));
        }
    }
    Ok(fields)
}

/// Header changes as `{direction}_headers_to_add` and `_to_remove`.
fn headers(
    direction: &str,
    changes: &HeaderModifier,
    fields: &mut Map<String, Value>,
) -> Result<(), Problem> {
    let mut added = Vec::new();
    let groups = [
        (&changes.set, "OVERWRITE_IF_EXISTS_OR_ADD"),
        (&changes.add, "APPEND_IF_EXISTS_OR_ADD"),
    ];
    for (headers, action) in groups {
        for header in headers {
            check_changed(&header.name)?;
            check_text("header value", &header.value)?;
            // In Envoy a percent sign begins a variable.
            let value = header.value.replace('%', "%%");
            added.push(json!({
                "header": {"key": header.name, "value": value},
                "append_action": action,
                "keep_empty_value": true,
            }));
        }
    }
    for name in &changes.remove {
        check_changed(name)?;
    }
    if !added.is_empty() {
        fields.insert(format!("{direction}_headers_to_add"), added.into());
    }
    if !changes.remove.is_empty() {
        fields.insert(
            format!("{direction}_headers_to_remove"),
            json!(changes.remove),
        );
    }
    Ok(())
}

/// Checks what becomes part of a header: Envoy refuses line ends there, and with them all routes.
fn check_text(what: &str, value: &str) -> Result<(), Problem> {
    if value.contains(['\r', '\n', '\0']) {
        return Err(Problem::unsupported(format!(
            "{what} {value:?} is not well-formed"
        )));
    }
    Ok(())
}

fn check_changed(name: &str) -> Result<(), Problem> {
    check_token("header", name)?;
    if name.eq_ignore_ascii_case("host") {
        return Err(Problem::unsupported(
            "the Host header is changed by the filter URLRewrite, not by a header filter",
        ));
    }
    Ok(())
}

fn mirror(from: Origin<'_>, mirror: &Mirror, world: &mut World<'_>) -> Result<Value, Problem> {
    let cluster = world.backend(from.referrer(), &mirror.backend_ref, &from.wish())?;
    let (numerator, denominator) = match (&mirror.fraction, mirror.percent) {
        (Some(fraction), _) => (fraction.numerator, fraction.denominator.unwrap_or(100)),
        (None, Some(percent)) => (percent, 100),
        (None, None) => (100, 100),
    };
    let millionths = u64::from(numerator) * 1_000_000 / u64::from(denominator.max(1));
    Ok(json!({
        "cluster": cluster,
        "runtime_fraction": {"default_value": {
            "numerator": millionths.min(1_000_000),
            "denominator": "MILLION",
        }},
    }))
}

fn cors(cors: &Cors) -> Result<Value, Problem> {
    let lists = [
        &cors.allow_methods,
        &cors.allow_headers,
        &cors.expose_headers,
    ];
    for name in lists.into_iter().flatten() {
        check_token("CORS value", name)?;
    }
    Ok(json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy",
        "allow_origin_string_match": origins(&cors.allow_origins),
        "allow_methods": cors.allow_methods.join(", "),
        "allow_headers": cors.allow_headers.join(", "),
        "expose_headers": cors.expose_headers.join(", "),
        "max_age": cors.max_age.unwrap_or(CORS_MAX_AGE).to_string(),
        "allow_credentials": cors.allow_credentials.unwrap_or(false),
        "forward_not_matching_preflights": false,
    }))
}

/// Origins as Envoy matches them.
pub(super) fn origins(origins: &[String]) -> Vec<Value> {
    origins.iter().map(|o| origin(o)).collect()
}

/// `*` alone is every origin; within one it stands for any labels of a host.
fn origin(text: &str) -> Value {
    if text == "*" {
        json!({"safe_regex": {"regex": ".*"}})
    } else if text.contains('*') {
        let parts: Vec<String> = text.split('*').map(regex::escape).collect();
        json!({"safe_regex": {"regex": parts.join("[^/]*")}})
    } else {
        json!({"exact": text})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The path that Envoy makes of `path` under a prefix match and a replacement.
    fn check(path: &str, prefix: &str, new: &str, expected: &str) {
        let change = PathModifier {
            kind: "ReplacePrefixMatch".to_owned(),
            replace_prefix_match: new.to_owned(),
            ..PathModifier::default()
        };
        let prefix = prefix.trim_end_matches('/');
        let fields = prefix_rewrite(&change, Some(prefix)).unwrap();
        let actual = if let Some(rewrite) = fields.get("regex_rewrite") {
            let regex = regex::Regex::new(rewrite["pattern"]["regex"].as_str().unwrap()).unwrap();
            let substitution = rewrite["substitution"].as_str().unwrap();
            regex.replace(path, substitution).into_owned()
        } else if let Some(new) = fields.get("prefix_rewrite") {
            let matched = if prefix.is_empty() { "/" } else { prefix };
            path.replacen(matched, new.as_str().unwrap(), 1)
        } else {
            path.to_owned()
        };
        assert_eq!(actual, expected, "{path} {prefix} {new}");
    }

    #[test]
    fn prefixes_are_replaced_by_whole_segments() {
        check("/foo/bar", "/foo", "/xyz", "/xyz/bar");
        check("/foo/bar", "/foo", "/xyz/", "/xyz/bar");
        check("/foo/bar", "/foo/", "/xyz", "/xyz/bar");
        check("/foo", "/foo", "/xyz", "/xyz");
        check("/foo/", "/foo", "/xyz", "/xyz/");
        check("/foo/bar", "/foo", "", "/bar");
        check("/foo/bar", "/foo", "/", "/bar");
        check("/foo/", "/foo", "/", "/");
        check("/foo", "/foo", "/", "/");
        check("/a.b/c", "/a.b", "/", "/c");
        check("/bar", "/", "/xyz", "/xyz/bar");
        check("/bar", "/", "/", "/bar");
    }
}
