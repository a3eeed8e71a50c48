//! Alerts: when to raise one, and through which channel people hear of it.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::application::NoStatus;
use crate::check::{Check, Checker};
use crate::object::{Object, Spec};
use crate::schema;
use crate::shared::KeyRef;

/// When an alert is raised.
pub type ObservabilityAlertRule = Object<ObservabilityAlertRuleSpec>;
/// How people hear of alerts.
pub type ObservabilityAlertsNotificationChannel =
    Object<ObservabilityAlertsNotificationChannelSpec>;

/// What raises an alert, and what then happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-validations" = schema::rules(&[(
    "!has(self.actions.incident) || !has(self.actions.incident.triggerAiCostAnalysis) \
     || !self.actions.incident.triggerAiCostAnalysis || self.source.type == 'budget'",
    BUDGET_ONLY,
)])))]
pub struct ObservabilityAlertRuleSpec {
    /// The name people know the rule by.
    #[schemars(length(min = 1))]
    pub name: String,
    /// What the rule watches for.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// How bad it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub severity: Option<AlertSeverity>,
    /// Whether the rule is evaluated; it is, when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// What is watched.
    pub source: AlertSource,
    /// When it is too much.
    pub condition: AlertCondition,
    /// What happens then.
    pub actions: AlertActions,
}

/// How bad an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AlertSeverity {
    /// Worth knowing.
    Info,
    /// Worth a look.
    Warning,
    /// Worth getting up for.
    Critical,
}

/// What a rule watches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AlertSource {
    /// The kind of data.
    #[serde(rename = "type")]
    pub type_: AlertSourceType,
    /// Which log lines.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub query: String,
    /// Which metric.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub metric: String,
}

/// The kind of data a rule watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AlertSourceType {
    /// Log lines.
    Log,
    /// A metric.
    Metric,
    /// What is spent.
    Budget,
}

/// When a rule raises an alert.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AlertCondition {
    /// The time that is looked at, as in `5m`.
    #[schemars(regex(pattern = schema::DURATION))]
    pub window: String,
    /// How often it is looked at, as in `1m`.
    #[schemars(regex(pattern = schema::DURATION))]
    pub interval: String,
    /// How what was counted is compared.
    pub operator: AlertOperator,
    /// What it is compared with.
    pub threshold: i64,
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AlertOperator {
    /// Greater.
    Gt,
    /// Less.
    Lt,
    /// Greater or equal.
    Gte,
    /// Less or equal.
    Lte,
    /// Equal.
    Eq,
}

/// What happens when an alert is raised.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AlertActions {
    /// Who hears of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notifications: Option<AlertNotifications>,
    /// What is opened to work on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub incident: Option<AlertIncident>,
}

/// Who hears of an alert.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AlertNotifications {
    /// The channels, by name.
    #[schemars(length(min = 1))]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub channels: Vec<String>,
}

/// What is opened to work on an alert.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = schema::rules(&[
    (
        "!has(self.triggerAiRca) || !self.triggerAiRca || (has(self.enabled) && self.enabled)",
        NEEDS_INCIDENT,
    ),
    (
        "!has(self.triggerAiCostAnalysis) || !self.triggerAiCostAnalysis \
         || (has(self.enabled) && self.enabled)",
        NEEDS_INCIDENT,
    ),
])))]
pub struct AlertIncident {
    /// Whether an incident is opened.
    pub enabled: bool,
    /// Whether its cause is looked for by machine.
    pub trigger_ai_rca: bool,
    /// Whether its costs are analysed by machine; for budgets only.
    pub trigger_ai_cost_analysis: bool,
}

const NEEDS_INCIDENT: &str = "needs incident.enabled";
const BUDGET_ONLY: &str = "is only for rules whose source.type is budget";

/// What was observed of a rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ObservabilityAlertRuleStatus {
    /// The generation this status is about.
    #[serde(skip_serializing_if = "schema::is_zero")]
    pub observed_generation: i64,
    /// How far the rule is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<AlertRulePhase>,
    /// When the rule was looked at last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_reconcile_time: Option<Time>,
    /// When the rule was last sent to what evaluates it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_sync_time: Option<Time>,
    /// What the rule is called there.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub backend_monitor_id: String,
    /// `Synced`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// How far a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AlertRulePhase {
    /// On its way.
    Pending,
    /// Evaluated.
    Ready,
    /// Refused.
    Error,
}

impl Spec for ObservabilityAlertRuleSpec {
    type Status = ObservabilityAlertRuleStatus;
    const KIND: &'static str = "ObservabilityAlertRule";
}

impl Check for ObservabilityAlertRuleSpec {
    fn check(&self, _old: Option<&Self>, out: &mut Checker) {
        out.filled("name", &self.name);
        for (field, value) in [
            ("condition.window", &self.condition.window),
            ("condition.interval", &self.condition.interval),
        ] {
            out.matches(field, value, schema::DURATION);
        }
        if let Some(notifications) = &self.actions.notifications {
            let field = "actions.notifications.channels";
            out.filled_list(field, &notifications.channels);
            let distinct: BTreeSet<_> = notifications.channels.iter().collect();
            if distinct.len() != notifications.channels.len() {
                out.add(field, "names a channel twice");
            }
        }
        if let Some(incident) = &self.actions.incident {
            incident.check(self.source.type_, out);
        }
    }
}

impl AlertIncident {
    fn check(&self, source: AlertSourceType, out: &mut Checker) {
        let field = |name: &str| format!("actions.incident.{name}");
        if self.trigger_ai_rca && !self.enabled {
            out.add(field("triggerAiRca"), NEEDS_INCIDENT);
        }
        if self.trigger_ai_cost_analysis && !self.enabled {
            out.add(field("triggerAiCostAnalysis"), NEEDS_INCIDENT);
        }
        if self.trigger_ai_cost_analysis && source != AlertSourceType::Budget {
            out.add(field("triggerAiCostAnalysis"), BUDGET_ONLY);
        }
    }
}

/// A way to reach people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::rules(&[
    ("self.type != 'email' || has(self.emailConfig)", EMAIL_CONFIG),
    ("self.type != 'webhook' || has(self.webhookConfig)", WEBHOOK_CONFIG),
])))]
pub struct ObservabilityAlertsNotificationChannelSpec {
    /// The environment whose alerts go through the channel.
    #[schemars(length(min = 1))]
    #[schemars(extend("x-kubernetes-validations" = schema::immutable()))]
    pub environment: String,
    /// Whether alerts of the environment that name no channel go through this one.
    #[serde(default, skip_serializing_if = "schema::is_false")]
    pub is_env_default: bool,
    /// The kind of channel.
    #[serde(rename = "type")]
    pub type_: ChannelType,
    /// How mails are sent; for channels of type `email`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email_config: Option<EmailConfig>,
    /// What is called; for channels of type `webhook`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_config: Option<WebhookConfig>,
}

const EMAIL_CONFIG: &str = "is required when type is email";
const WEBHOOK_CONFIG: &str = "is required when type is webhook";

/// The kind of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChannelType {
    /// Mails.
    Email,
    /// Calls of a URL.
    Webhook,
}

/// How mails are sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EmailConfig {
    /// Who sends them.
    #[schemars(length(min = 1))]
    pub from: String,
    /// Who gets them.
    #[schemars(length(min = 1))]
    pub to: Vec<String>,
    /// The server that takes them.
    pub smtp: SmtpConfig,
    /// What they say, with `${...}` of the alert.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<EmailTemplate>,
}

/// A mail server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SmtpConfig {
    /// Its host.
    #[schemars(length(min = 1))]
    pub host: String,
    /// Its port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// How the platform proves who it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<SmtpAuth>,
    /// How the server does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<SmtpTls>,
}

/// Credentials of a mail server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SmtpAuth {
    /// The user.
    pub username: SecretValue,
    /// The password.
    pub password: SecretValue,
}

/// A value that a Kubernetes secret keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretValue {
    /// The secret and the key in it.
    pub secret_key_ref: KeyRef,
}

/// How a mail server proves who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SmtpTls {
    /// Whether any certificate will do.
    #[serde(skip_serializing_if = "schema::is_false")]
    pub insecure_skip_verify: bool,
}

/// What a mail says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EmailTemplate {
    /// Its subject.
    pub subject: String,
    /// Its text.
    pub body: String,
}

/// A URL that is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookConfig {
    /// The URL.
    #[schemars(length(min = 1))]
    pub url: String,
    /// Headers of the call, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, HeaderValue>,
    /// The body of the call, with `${...}` of the alert; left out, the alert as JSON.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub payload_template: String,
}

/// The value of a header: written down or kept in a secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = schema::rules(&[(
    "has(self.value) != has(self.valueFrom)", ONE_VALUE,
)])))]
pub struct HeaderValue {
    /// The value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The secret it is kept in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value_from: Option<SecretValue>,
}

const ONE_VALUE: &str = "needs exactly one of value and valueFrom";

impl Spec for ObservabilityAlertsNotificationChannelSpec {
    type Status = NoStatus;
    const KIND: &'static str = "ObservabilityAlertsNotificationChannel";
}

impl Check for ObservabilityAlertsNotificationChannelSpec {
    fn check(&self, old: Option<&Self>, out: &mut Checker) {
        if let Some(old) = old {
            out.unchanged("environment", &self.environment, &old.environment);
        }
        out.filled("environment", &self.environment);
        match self.type_ {
            ChannelType::Email if self.email_config.is_none() => {
                out.add("emailConfig", EMAIL_CONFIG);
            }
            ChannelType::Webhook if self.webhook_config.is_none() => {
                out.add("webhookConfig", WEBHOOK_CONFIG);
            }
            ChannelType::Email | ChannelType::Webhook => {}
        }
        if let Some(email) = &self.email_config {
            out.filled("emailConfig.from", &email.from);
            out.filled_list("emailConfig.to", &email.to);
            out.filled("emailConfig.smtp.host", &email.smtp.host);
            out.port("emailConfig.smtp.port", email.smtp.port);
        }
        if let Some(webhook) = &self.webhook_config {
            out.filled("webhookConfig.url", &webhook.url);
            for (name, header) in &webhook.headers {
                if header.value.is_some() == header.value_from.is_some() {
                    out.add(format!("webhookConfig.headers[{name}]"), ONE_VALUE);
                }
            }
        }
    }
}
