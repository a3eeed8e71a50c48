//! What an external connection may say.

use super::{ExternalDependency, ExternalProtocol, ExternalTlsMode, LIMIT, Layer};
use crate::check::Checker;
use crate::host::{self, Form};
use crate::{duration, schema};

impl ExternalDependency {
    /// Reports what is wrong, at `field`. Addresses of private networks are for those who run the
    /// platform to give, `may_be_private`.
    pub(super) fn check(&self, field: &str, may_be_private: bool, out: &mut Checker) {
        out.dns_label(&format!("{field}.name"), &self.name);
        out.port(&format!("{field}.port"), self.port);
        self.check_host(&format!("{field}.host"), may_be_private, out);
        self.check_tls(&format!("{field}.tls"), out);
        self.check_timeouts(&format!("{field}.timeouts"), out);
        self.check_retries(&format!("{field}.retries"), out);
        self.check_circuit_breaker(&format!("{field}.circuitBreaker"), out);
        for (binding, name) in self.env_bindings.fields() {
            let field = format!("{field}.envBindings.{binding}");
            if let Some(name) = name {
                out.filled(&field, name);
            }
            if name.is_some() && self.is_wildcard() && binding != "port" {
                out.add(
                    &field,
                    "a wildcard has no single host; the application names one of its hosts itself",
                );
            }
        }
    }

    fn check_host(&self, field: &str, may_be_private: bool, out: &mut Checker) {
        let host = match host::read(&self.host) {
            Err(message) => return out.add(field, message),
            Ok(host) => host,
        };
        if host.is_private && !may_be_private {
            out.add(
                field,
                "is of a private network, which only an ExternalConnection of the platform team opens",
            );
        }
        let message = match (host.form, self.layer()) {
            (Form::Address, Layer::Http | Layer::Tls) => {
                "must be a name: an address has none that requests could be told apart by; use \
                 protocol TCP"
            }
            (Form::Wildcard, Layer::Tcp) => {
                "must be one host: TCP does not say which of many is meant; use protocol TLS or HTTP"
            }
            (Form::Wildcard, _) if self.originates() => {
                "must be one host: the gateway checks the certificate of the one that is named; use \
                 tls.mode Passthrough"
            }
            _ => return,
        };
        out.add(field, message);
    }

    fn check_tls(&self, field: &str, out: &mut Checker) {
        let Some(tls) = &self.tls else { return };
        if let Some(port) = tls.listen_port {
            out.port(&format!("{field}.listenPort"), port);
            if tls.mode != ExternalTlsMode::Originate {
                out.add(format!("{field}.listenPort"), "is for mode Originate only");
            }
        }
        let said = match self.protocol {
            ExternalProtocol::Https | ExternalProtocol::Grpc => return,
            ExternalProtocol::Http => "is for HTTPS and gRPC: HTTP is plain text",
            ExternalProtocol::Tcp => "is for HTTPS and gRPC; TLS inside TCP is protocol TLS",
            ExternalProtocol::Tls if tls.mode == ExternalTlsMode::Passthrough => return,
            ExternalProtocol::Tls => "mode Originate is for HTTPS and gRPC",
        };
        out.add(field, said);
    }

    fn check_timeouts(&self, field: &str, out: &mut Checker) {
        let Some(timeouts) = &self.timeouts else {
            return;
        };
        out.short_duration(&format!("{field}.connect"), timeouts.connect.as_ref());
        out.short_duration(&format!("{field}.request"), timeouts.request.as_ref());
        if timeouts.request.is_some() {
            self.needs_requests(format!("{field}.request"), out);
        }
    }

    fn check_retries(&self, field: &str, out: &mut Checker) {
        let Some(retries) = &self.retries else { return };
        self.needs_requests(field, out);
        if !(1..=10).contains(&retries.attempts) {
            out.add(format!("{field}.attempts"), "must be between 1 and 10");
        }
        let per_try = retries.per_try_timeout.as_ref();
        out.short_duration(&format!("{field}.perTryTimeout"), per_try);
        out.short_duration(&format!("{field}.backoff"), retries.backoff.as_ref());
        let field = format!("{field}.codes");
        out.at_most(&field, retries.codes.len(), 20);
        if retries.codes.iter().any(|code| !(400..=599).contains(code)) {
            out.add(field, "must be between 400 and 599");
        }
    }

    fn check_circuit_breaker(&self, field: &str, out: &mut Checker) {
        let Some(breaker) = &self.circuit_breaker else {
            return;
        };
        let of_connections = ("maxConnections", breaker.max_connections);
        let of_requests = [
            ("maxPendingRequests", breaker.max_pending_requests),
            ("maxParallelRequests", breaker.max_parallel_requests),
            ("maxParallelRetries", breaker.max_parallel_retries),
        ];
        for (name, limit) in of_requests.into_iter().chain([of_connections]) {
            if limit == Some(0) {
                out.add(format!("{field}.{name}"), "must be at least 1");
            }
        }
        for (name, _) in of_requests.iter().filter(|(_, limit)| limit.is_some()) {
            self.needs_requests(format!("{field}.{name}"), out);
        }
    }

    /// What is asked for of requests is nothing that the gateway could do where it sees none.
    fn needs_requests(&self, field: impl AsRef<str>, out: &mut Checker) {
        if self.layer() != Layer::Http {
            out.add(
                field,
                "needs protocol HTTP, gRPC without TLS, or tls.mode Originate: otherwise the gateway sees no \
                 requests",
            );
        }
    }
}

/// Reports what is wrong with the connections that a workload declares in the list at `field`.
pub(crate) fn check(field: &str, connections: &[ExternalDependency], out: &mut Checker) {
    out.at_most(field, connections.len(), LIMIT);
    out.unique(field, "name", connections.iter().map(|one| &one.name));
    for (index, one) in connections.iter().enumerate() {
        let field = format!("{field}[{index}]");
        one.check(&field, false, out);
        let before = connections.get(..index).unwrap_or_default();
        let clash = before
            .iter()
            .find_map(|other| Some((other, one.clash(other)?)));
        if let Some((other, clash)) = clash {
            out.add(field, &format!("\"{}\" {clash}", other.name));
        }
    }
}

impl Checker {
    /// A length of time as Gateway API has it (GEP-2257), longer than nothing.
    fn short_duration(&mut self, field: &str, value: Option<&String>) {
        let Some(value) = value else { return };
        self.matches(field, value, schema::SHORT_DURATION);
        if duration(value).is_some_and(|length| length.is_zero()) {
            self.add(field, "must be longer than nothing");
        }
    }
}
