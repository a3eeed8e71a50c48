//! What a command says, and how it ended in the words of the protocol.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::access::Output;

/// What a command says next.
pub(super) enum Said {
    Out(Bytes),
    Err(Bytes),
    /// Nothing follows this status.
    Last(Value),
}

impl From<Option<Output>> for Said {
    fn from(output: Option<Output>) -> Self {
        match output {
            Some(Output::Out(bytes)) => Self::Out(bytes),
            Some(Output::Err(bytes)) => Self::Err(bytes),
            Some(Output::Ended(code)) => Self::Last(ended(code)),
            Some(Output::Failed(why)) => Self::Last(failed(&why)),
            None => Self::Last(failed("the command was lost")),
        }
    }
}

/// A status as versions before the fourth have it: nothing unless it went wrong.
pub(super) fn plain(status: &Value) -> &str {
    let message = status.get("message").and_then(Value::as_str);
    message.unwrap_or_default()
}

fn ended(code: i32) -> Value {
    if code == 0 {
        return json!({"metadata": {}, "status": "Success"});
    }
    json!({
        "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
        "message": format!("command terminated with non-zero exit code: {code}"),
        "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
    })
}

fn failed(why: &str) -> Value {
    json!({
        "metadata": {}, "status": "Failure", "reason": "InternalError",
        "message": why, "code": 500,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_told() {
        assert_eq!(ended(0)["status"], "Success");
        assert_eq!(plain(&ended(0)), "");
        assert_eq!(ended(3)["details"]["causes"][0]["message"], "3");
        assert!(plain(&ended(3)).ends_with("code: 3"));
    }
}
