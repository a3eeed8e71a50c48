//! Help that teaches by example. Every example is a command line that is understood; a test sees to it.

use std::fmt::Write as _;

use clap::Command;

/// What somebody wants, and the command line that does it.
type Example = (&'static str, &'static str);

/// The examples of each command.
const EXAMPLES: &[(&str, &[Example])] = &[
    (
        "up",
        &[
            (
                "Start the platform and what a folder holds",
                "choreo up samples/storefront",
            ),
            (
                "Leave it running in the background",
                "choreo up --detach samples/storefront",
            ),
        ],
    ),
    (
        "down",
        &[("Stop the platform; nothing stored is lost", "choreo down")],
    ),
    (
        "apply",
        &[
            ("Apply a folder", "choreo apply -f platform/"),
            (
                "Say what would change, change nothing",
                "choreo apply -f platform/ --dry-run",
            ),
            (
                "Also delete what the files leave out",
                "choreo apply -f platform/ --prune",
            ),
        ],
    ),
    (
        "delete",
        &[
            (
                "Delete a component and all that was made of it",
                "choreo delete component catalog",
            ),
            ("Delete what a folder holds", "choreo delete -f platform/"),
        ],
    ),
    (
        "get",
        &[
            ("Every component", "choreo get components"),
            (
                "One binding as YAML",
                "choreo get releasebinding catalog-development -o yaml",
            ),
            ("Follow what changes", "choreo get bindings --watch"),
        ],
    ),
    (
        "describe",
        &[
            (
                "An object with its conditions and events",
                "choreo describe component catalog",
            ),
            (
                "A component in an environment",
                "choreo describe catalog --env staging",
            ),
        ],
    ),
    (
        "status",
        &[
            ("Everything", "choreo status"),
            (
                "One component, for a script",
                "choreo status catalog -o json",
            ),
        ],
    ),
    (
        "why",
        &[
            (
                "Why a component is not ready, and what to do",
                "choreo why catalog",
            ),
            (
                "Why it is not ready in an environment",
                "choreo why catalog --env production",
            ),
            (
                "Why any other object is as it is",
                "choreo why project/shop",
            ),
        ],
    ),
    (
        "logs",
        &[
            ("What a component prints", "choreo logs catalog"),
            (
                "Follow it in production",
                "choreo logs catalog --env production --follow",
            ),
            (
                "What it said before it crashed",
                "choreo logs catalog --previous",
            ),
        ],
    ),
    (
        "exec",
        &[
            ("A shell in a component", "choreo exec catalog"),
            (
                "One command in production",
                "choreo exec catalog --env production -- env",
            ),
        ],
    ),
    (
        "deploy",
        &[
            ("Release a component as it is now", "choreo deploy catalog"),
            (
                "Release another image of it",
                "choreo deploy catalog --image shop/catalog:2",
            ),
            (
                "Release its track v2, beside its main line",
                "choreo deploy catalog --track v2",
            ),
        ],
    ),
    (
        "promote",
        &[
            (
                "Bring what runs to the next environment",
                "choreo promote catalog --to staging",
            ),
            (
                "Bring its track v2 there",
                "choreo promote catalog --track v2 --to staging",
            ),
            (
                "Bring a whole project there, and tell those who approve it why",
                "choreo promote --project storefront --to production --reason spring-sale",
            ),
            (
                "Bring a managed resource there by itself",
                "choreo promote --resource orders --to staging",
            ),
            (
                "Wait for nobody, in an emergency",
                "choreo promote catalog --to production --break-glass checkout-is-down",
            ),
        ],
    ),
    (
        "approve",
        &[(
            "Approve a plan as somebody whom a kubeconfig knows",
            "choreo approve catalog-production-1 --plan 3f2a9c1b22d0 --kubeconfig bob.yaml",
        )],
    ),
    (
        "reject",
        &[(
            "Reject a promotion",
            "choreo reject catalog-production-1 --reason no-release-notes",
        )],
    ),
    (
        "rollback",
        &[
            (
                "Bring back what ran before",
                "choreo rollback catalog --env production --reason CVE-2026-1",
            ),
            (
                "Bring back the third deployment, but not how it was configured",
                "choreo rollback catalog --env production --to 3 --keep-configuration",
            ),
            (
                "Bring back the last good deployment of an image",
                "choreo rollback catalog --env production --to-image shop/catalog:1",
            ),
        ],
    ),
    (
        "history",
        &[(
            "What was deployed to production, by whom and why",
            "choreo history catalog --env production",
        )],
    ),
    (
        "audit",
        &[(
            "Whether every record of a deployment is as it was written",
            "choreo audit verify --all-namespaces",
        )],
    ),
    (
        "preview",
        &[
            (
                "Look at a change beside development, for four hours",
                "choreo preview create --component catalog --image shop/catalog:pr-7",
            ),
            (
                "Two components, and copies of all others",
                "choreo preview create --component catalog=c:7 --component web=w:7 --copy-rest",
            ),
        ],
    ),
    (
        "plan",
        &[
            (
                "What files would change on the running platform",
                "choreo plan -f platform/",
            ),
            (
                "What a branch changes, in CI",
                "choreo plan -f platform/ --base-ref main",
            ),
        ],
    ),
    (
        "explain",
        &[(
            "Where a field comes from",
            "choreo explain catalog deployment.spec.replicas --env development",
        )],
    ),
    (
        "render",
        &[
            ("What files render to", "choreo render samples/storefront"),
            (
                "A folder per environment for Kustomize",
                "choreo render samples/storefront --standalone --output-dir out",
            ),
        ],
    ),
    (
        "export",
        &[
            (
                "What runs in production, as plain objects",
                "choreo export --env production",
            ),
            (
                "A project as a folder",
                "choreo export shop --output-dir shop",
            ),
            (
                "What another Kubernetes API needs for the platform's objects",
                "choreo export --definitions",
            ),
        ],
    ),
    (
        "check",
        &[("Find every mistake in files", "choreo check platform/")],
    ),
    (
        "schema",
        &[
            ("The schema of a kind", "choreo schema component"),
            (
                "Schemas for an editor",
                "choreo schema --output-dir .schemas --vscode",
            ),
        ],
    ),
    (
        "image",
        &[
            (
                "Make an image of a program",
                "choreo image pack shop/catalog:1 --program catalog",
            ),
            ("Take images of an archive", "choreo image load images.tar"),
        ],
    ),
    (
        "secret",
        &[
            (
                "Store a value, read from standard input",
                "choreo secret set db password",
            ),
            ("What is stored, without values", "choreo secret list"),
        ],
    ),
    (
        "api",
        &[
            (
                "Give a consumer a key",
                "choreo api key create orders --consumer bakery --env development",
            ),
            (
                "Give it another, the one before counting for a day more",
                "choreo api key rotate orders --consumer bakery --env development --overlap 1d",
            ),
            (
                "Let it call no more",
                "choreo api key revoke orders --consumer bakery --env development",
            ),
        ],
    ),
    (
        "kubeconfig",
        &[(
            "Let somebody in",
            "choreo kubeconfig --user ada --group developers --days 7",
        )],
    ),
    (
        "backup",
        &[(
            "Write everything to a file",
            "choreo backup platform.backup",
        )],
    ),
    (
        "restore",
        &[(
            "Look into a backup",
            "choreo restore platform.backup --dry-run",
        )],
    ),
    ("version", &[("For a script", "choreo version -o json")]),
    ("completion", &[("For bash", "choreo completion bash")]),
    (
        "man",
        &[("Pages for every command", "choreo man --output-dir man")],
    ),
];

/// The command line with the examples behind the help of each command.
pub(super) fn added(command: Command) -> Command {
    EXAMPLES.iter().fold(command, |command, (name, examples)| {
        command.mut_subcommand(name, |sub| sub.after_help(text(examples)))
    })
}

fn text(examples: &[Example]) -> String {
    let mut text = "Examples:".to_owned();
    for (what, line) in examples {
        // Writing to a string does not fail.
        let _ = write!(text, "\n  # {what}\n  {line}");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::{CommandFactory as _, Parser as _};

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_command_has_examples() {
        let named: BTreeSet<&str> = EXAMPLES.iter().map(|(name, _)| *name).collect();
        let command = Cli::command();
        let commands = command.get_subcommands().filter(|sub| !sub.is_hide_set());
        let commands: BTreeSet<&str> = commands.map(Command::get_name).collect();
        assert_eq!(named, commands);
    }

    #[test]
    fn every_example_is_understood() {
        for (name, examples) in EXAMPLES {
            for (_, line) in *examples {
                let words: Vec<&str> = line.split_whitespace().collect();
                assert_eq!(&words[1], name);
                let read = Cli::try_parse_from(&words);
                assert!(read.is_ok(), "{line}: {}", read.err().unwrap());
            }
        }
    }
}
