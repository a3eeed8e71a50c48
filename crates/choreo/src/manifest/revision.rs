//! Files as a revision of their git repository has them: read from the repository, while the files
//! that are checked out stay as they are.

use std::{
    ffi::OsStr,
    io::{ErrorKind, Write},
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::Arc,
    thread,
};

use super::files::is_manifest;
use crate::{
    exit::Exit,
    failure::{self, Failure, Result},
};

/// The files that `paths` held in `revision`, with their names and texts, each path in its own
/// repository. A path that was not there then held nothing.
pub(crate) fn texts_of(paths: &[PathBuf], revision: &str) -> Result<Vec<(String, Arc<str>)>> {
    let mut texts = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            let message = "standard input has no revisions";
            return Err(Failure::new(Exit::Usage, message).hint("name files or folders"));
        }
        texts.extend(Tree::at(path, revision)?.texts()?);
    }
    Ok(texts)
}

/// A file, or the files of a folder, in a commit.
struct Tree<'a> {
    path: &'a Path,
    revision: &'a str,
    /// Where git is asked: the folder, or the one that the file is in.
    folder: &'a Path,
    /// The commit, by its hash.
    commit: String,
}

impl<'a> Tree<'a> {
    fn at(path: &'a Path, revision: &'a str) -> Result<Self> {
        let around = path.parent().filter(|one| !one.as_os_str().is_empty());
        let folder = if path.is_dir() {
            path
        } else {
            around.unwrap_or_else(|| Path::new("."))
        };
        let repository = git(folder, &["rev-parse", "--git-dir"], &[])?;
        if !repository.status.success() {
            let message = format!("{} is not in a git repository", path.display());
            return Err(Failure::new(Exit::Invalid, message)
                .because(said(&repository))
                .hint("compare with a folder by --base DIR"));
        }
        let commit = format!("{revision}^{{commit}}");
        let named = [
            "rev-parse",
            "--verify",
            "--quiet",
            "--end-of-options",
            &commit,
        ];
        let commit = git(folder, &named, &[])?;
        if !commit.status.success() {
            let message = format!("{} has no revision {revision}", path.display());
            return Err(Failure::new(Exit::NotFound, message).hint(
                "name a branch, a tag or a commit; a shallow clone may have to fetch it first",
            ));
        }
        Ok(Self {
            path,
            revision,
            folder,
            commit: String::from_utf8_lossy(&commit.stdout).trim().to_owned(),
        })
    }

    fn texts(&self) -> Result<Vec<(String, Arc<str>)>> {
        let files = self.files()?;
        let mut wanted = Vec::new();
        for file in &files {
            let file = file.as_os_str().as_bytes();
            wanted.extend([self.commit.as_bytes(), b":./", file, b"\n"].concat());
        }
        // Links are followed to what they name in the same commit.
        let arguments = ["cat-file", "--batch", "--follow-symlinks"];
        let read = done(git(self.folder, &arguments, &wanted)?)?;
        let mut rest = read.as_slice();
        let mut texts = Vec::new();
        for file in &files {
            let name = self.name(file);
            let unreadable = || Failure::new(Exit::Invalid, format!("{name} cannot be read"));
            let content;
            (content, rest) = answer(rest).ok_or_else(unreadable)?;
            if let Some(content) = content {
                let text = str::from_utf8(content).map_err(|error| unreadable().because(error))?;
                texts.push((name, Arc::from(text)));
            }
        }
        Ok(texts)
    }

    /// The manifests, relative to the folder and in the order in which they are found where files are
    /// checked out.
    fn files(&self) -> Result<Vec<PathBuf>> {
        let listing = ["ls-tree", "-r", "-z", "--name-only", &self.commit];
        let listed = done(git(self.folder, &listing, &[])?)?;
        let all = listed
            .split(|byte| *byte == 0)
            .filter(|name| !name.is_empty());
        let all = all.map(|name| PathBuf::from(OsStr::from_bytes(name)));
        if self.path != self.folder {
            let named = self.path.file_name().unwrap_or_default();
            return Ok(all.filter(|file| file.as_os_str() == named).collect());
        }
        let is_hidden = |file: &Path| {
            let mut parts = file.iter();
            parts.any(|part| part.as_bytes().starts_with(b"."))
        };
        // The names are handed to git one in a line.
        let is_one_line = |file: &Path| !file.as_os_str().as_bytes().contains(&b'\n');
        let mut files: Vec<PathBuf> = all
            .filter(|file| is_manifest(file) && !is_hidden(file) && is_one_line(file))
            .collect();
        files.sort();
        Ok(files)
    }

    /// What a file is called in what is told of it.
    fn name(&self, file: &Path) -> String {
        let path = if self.path == self.folder {
            self.path.join(file)
        } else {
            self.path.to_owned()
        };
        format!("{}:{}", self.revision, path.display())
    }
}

/// Runs git in `folder` with `input`.
fn git(folder: &Path, arguments: &[&str], input: &[u8]) -> Result<Output> {
    let started = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = started.map_err(|error| {
        if error.kind() == ErrorKind::NotFound {
            Failure::new(Exit::Invalid, "git is not installed")
                .hint("install it, or compare with a folder by --base DIR")
        } else {
            failure::io("starting git")(error)
        }
    })?;
    let stdin = child.stdin.take();
    thread::scope(|scope| {
        // Git answers while it still reads.
        scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input)));
        child.wait_with_output()
    })
    .map_err(failure::io("running git"))
}

/// What git wrote, if it did what it was asked to.
fn done(output: Output) -> Result<Vec<u8>> {
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(Failure::new(Exit::Invalid, "git failed").because(said(&output)))
}

/// What git said was wrong.
fn said(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    said.lines()
        .next()
        .unwrap_or("it does not say why")
        .to_owned()
}

/// The first of git's answers, a file's content or that there is none, and the other answers.
fn answer(read: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let end = read.iter().position(|byte| *byte == b'\n')?;
    let (first, rest) = (str::from_utf8(&read[..end]).ok()?, &read[end + 1..]);
    let mut words = first.rsplit(' ');
    let size = match words.next()? {
        "missing" => return Some((None, rest)),
        size => size.parse::<usize>().ok()?,
    };
    let content = rest.get(..size)?;
    let rest = rest.get(size + 1..)?;
    // Of a link that leads nowhere, git tells where it leads.
    Some(((words.next() == Some("blob")).then_some(content), rest))
}

#[cfg(test)]
mod tests;
