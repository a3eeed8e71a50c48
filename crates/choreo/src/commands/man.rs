//! `choreo man`: manual pages, made of the command line itself.

use std::{fs, path::Path};

use clap::Command;

use crate::{
    cli,
    exit::Exit,
    failure::{self, Failure, Result},
    terminal,
};

/// Runs `choreo man`: all pages into a folder, or that of the program itself.
pub(crate) fn run(folder: Option<&Path>) -> Result {
    let Some(folder) = folder else {
        return terminal::print(&String::from_utf8_lossy(&page(cli::command())?));
    };
    let doing = || failure::io(format!("writing to {}", folder.display()));
    fs::create_dir_all(folder).map_err(doing())?;
    let pages = pages(cli::command())?;
    for (name, page) in &pages {
        fs::write(folder.join(name), page).map_err(doing())?;
    }
    terminal::line(format!("{} pages in {}", pages.len(), folder.display()))
}

/// A page for the program and one for each command, by the names of their files.
fn pages(mut command: Command) -> Result<Vec<(String, Vec<u8>)>> {
    command.build();
    let mut open = vec![command];
    let mut pages = Vec::new();
    while let Some(command) = open.pop() {
        let name = command
            .get_display_name()
            .unwrap_or_else(|| command.get_name());
        let file = format!("{name}.1");
        open.extend(
            command
                .get_subcommands()
                .filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
                .cloned(),
        );
        pages.push((file, page(command)?));
    }
    pages.sort();
    Ok(pages)
}

fn page(command: Command) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut text)
        .map_err(|error| {
            Failure::new(Exit::Failed, "the manual cannot be written").because(error)
        })?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_its_examples() {
        let pages = pages(cli::command()).unwrap();
        let names: Vec<&str> = pages.iter().map(|(name, _)| name.as_str()).collect();
        for name in [
            "choreo.1",
            "choreo-up.1",
            "choreo-secret-set.1",
            "choreo-why.1",
        ] {
            assert!(names.contains(&name), "{name}: {names:?}");
        }
        let why = pages
            .iter()
            .find(|(name, _)| name == "choreo-why.1")
            .unwrap();
        assert!(String::from_utf8_lossy(&why.1).contains("Examples"));
    }
}
