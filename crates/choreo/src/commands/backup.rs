//! `choreo backup` and `choreo restore`: everything the API stores as one file, and the way back.

use std::path::{Path, PathBuf};

use choreo_apiserver::store::{self, Copied};
use jiff::Timestamp;

use super::down;
use crate::{
    cli::{Backup, Restore},
    exit::Exit,
    failure::{self, Failure, Result},
    folder::Folder,
    terminal,
};

/// Runs `choreo backup`.
pub(crate) fn run(folder: &Folder, args: &Backup) -> Result {
    if !folder.api().join("objects.sqlite").exists() {
        let message = format!("nothing is stored in {}", folder.root().display());
        return Err(Failure::new(Exit::NotFound, message).hint("--data names another folder"));
    }
    let copied = store::backup(&folder.store(), &args.file, args.with_key, args.force)
        .map_err(|error| because_of(error, "--force replaces it"))?;
    terminal::line(format!("{}: {}", args.file.display(), contents(copied)))?;
    if copied.secrets > 0 && !copied.has_key {
        terminal::note(format!(
            "the key of its secrets is not in it: keep {} too, or use --with-key",
            folder.store().key().display()
        ));
    }
    Ok(())
}

/// Runs `choreo restore`.
pub(crate) fn restore(folder: &Folder, args: &Restore) -> Result {
    let file = absolute(&args.file)?;
    let place = folder.store();
    if args.dry_run {
        let copied = store::inspect(&place, &file)?;
        return terminal::line(format!("{}: {}", file.display(), contents(copied)));
    }
    if let Some(_lock) = folder.take()? {
        let aside = store::restore(&place, &file, Timestamp::now())?;
        terminal::line(format!("restored {}", file.display()))?;
        if let Some(aside) = aside {
            terminal::note(format!("what was there is in {}", aside.display()));
        }
        return Ok(());
    }
    let running = folder.running()?.ok_or_else(|| {
        Failure::new(Exit::Conflict, "the platform is just starting").hint("try again")
    })?;
    let copied = store::stage(&place, &file, Timestamp::now())?;
    terminal::note(format!(
        "{}; the platform starts again with it",
        contents(copied)
    ));
    down::start_again(folder, &running, args.timeout)?;
    terminal::line(format!("restored {}", file.display()))?;
    terminal::note(format!(
        "what was there is in {}, as objects.before-restore-NUMBER.sqlite",
        folder.api().display()
    ));
    Ok(())
}

fn absolute(file: &Path) -> Result<PathBuf> {
    std::path::absolute(file).map_err(failure::io(format!("finding {}", file.display())))
}

fn contents(copied: Copied) -> String {
    let with = if copied.has_key { "with" } else { "without" };
    let objects = copied.objects;
    match copied.secrets {
        0 => format!("{objects} objects"),
        secrets => format!("{objects} objects, {secrets} of them secrets, {with} their key"),
    }
}

fn because_of(error: store::Error, help: &str) -> Failure {
    let exists = matches!(error, store::Error::Exists { .. });
    let failure = Failure::from(error);
    if exists { failure.hint(help) } else { failure }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_tell_whether_secrets_can_be_read() {
        let mut copied = Copied {
            objects: 3,
            secrets: 0,
            has_key: false,
        };
        assert_eq!(contents(copied), "3 objects");
        copied.secrets = 2;
        assert_eq!(
            contents(copied),
            "3 objects, 2 of them secrets, without their key"
        );
    }
}
