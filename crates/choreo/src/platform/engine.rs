//! The gateway's engine is a program a person may name: whether it is one is found out while the machine
//! starts, so that no other part has to explain why it does not answer.

use std::{path::Path, process::Stdio, time::Duration};

use tokio::process::Command;

use crate::{
    exit::Exit,
    failure::{Failure, Result},
};

/// How long a program may take to say its version.
const PATIENCE: Duration = Duration::from_secs(20);

/// Asks a program whether it is Envoy.
pub(super) async fn check(program: &Path) -> Result {
    let refused = |why: &str| {
        Failure::new(
            Exit::Machine,
            format!("{} cannot be the gateway: {why}", program.display()),
        )
        .hint("name an Envoy with --envoy or CHOREO_ENVOY")
    };
    let asked = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let Ok(answer) = tokio::time::timeout(PATIENCE, asked).await else {
        return Err(refused("it does not say its version"));
    };
    let answer = answer.map_err(|error| refused("it cannot be run").because(error))?;
    // As in `/usr/bin/envoy  version: 9e5580933739775e/1.40.0/Clean/RELEASE/BoringSSL`.
    let said = String::from_utf8_lossy(&answer.stdout);
    if answer.status.success() && said.contains("  version: ") && said.contains("SSL") {
        Ok(())
    } else {
        Err(refused("it is not Envoy"))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    async fn says(script: &str, mode: u32) -> Option<String> {
        let home = tempfile::tempdir().unwrap();
        let program = home.path().join("engine");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(mode)).unwrap();
        check(&program)
            .await
            .err()
            .map(|failure| failure.with_causes())
    }

    #[tokio::test]
    async fn only_envoy_will_do() {
        let envoy = "echo; echo '/e  version: 9e55/1.40.0/Clean/RELEASE/BoringSSL'";
        assert_eq!(says(envoy, 0o755).await, None);
        for other in ["true", "echo other 1.0", "exit 1"] {
            assert!(says(other, 0o755).await.unwrap().contains("is not Envoy"));
        }
        let refused = says(envoy, 0o644).await.unwrap();
        assert!(
            refused.contains("cannot be run: Permission denied"),
            "{refused}"
        );
    }
}
