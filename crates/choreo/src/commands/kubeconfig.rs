//! `choreo kubeconfig`: how somebody else than the administrator reaches the API, known by a certificate.
//! What they may do there is for roles to say.

use choreo_apiserver::{Credentials, User};
use jiff::Timestamp;

use crate::{
    cli::Kubeconfig,
    client,
    exit::Exit,
    failure::{Failure, Result},
    folder::Folder,
    terminal,
};

/// Runs `choreo kubeconfig`.
pub(crate) fn run(folder: &Folder, args: &Kubeconfig) -> Result {
    let running = folder.running()?;
    let running = running.ok_or_else(|| client::not_running(folder))?;
    let Kubeconfig { user, groups, days } = args;
    if User::new(user, Vec::new()).part().is_some() {
        let message = format!("{user} is the name of a part of the platform");
        return Err(Failure::new(Exit::Usage, message).hint("choose another name"));
    }
    let now = Timestamp::now();
    let made = Credentials::open(&folder.api(), now).and_then(|credentials| {
        let days = i64::from(*days);
        let (certificate, key) = credentials.certify(user, groups, now, days)?;
        Ok(credentials.kubeconfig_by(&running.api, user, &certificate, &key))
    });
    let failed = |error| {
        let message = format!("no certificate can be made for {user}");
        Failure::new(Exit::Failed, message).because(error)
    };
    terminal::print(&made.map_err(failed)?)
}
