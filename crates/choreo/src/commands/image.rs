//! `choreo image`: the images kept on this machine. Works on the store's folder, so it needs no running
//! platform, and a running one sees the outcome at once.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use choreo_node::image::{self, Config, File, Store};
use serde_json::json;

use crate::{
    cli::{Format, Image, OutputOnly, Pack},
    exit::Exit,
    failure::{self, Failure, Result},
    folder::Folder,
    table, terminal,
};

/// Runs `choreo image`.
pub(crate) fn run(folder: &Folder, command: &Image) -> Result {
    let store = open(folder)?;
    match command {
        Image::Load { archive } => {
            for image in store.load(archive).map_err(failed)? {
                terminal::line(format!("{} {}", image.reference, image.digest))?;
            }
            Ok(())
        }
        Image::Pack(args) => {
            let config = config(args)?;
            let image = store
                .pack(&args.reference, &files(args)?, config)
                .map_err(failed)?;
            terminal::line(format!("{} {}", image.reference, image.digest))
        }
        Image::List(args) => list(&store, args),
        Image::Rm { reference } => {
            store.remove(reference).map_err(failed)?;
            terminal::line(format!("{reference} is removed"))
        }
    }
}

/// The store of a data folder.
pub(crate) fn open(folder: &Folder) -> Result<Store> {
    fs::create_dir_all(folder.images()).map_err(failure::io("making the image store"))?;
    Store::open(&folder.images()).map_err(failed)
}

fn list(store: &Store, args: &OutputOnly) -> Result {
    let images = store.list().map_err(failed)?;
    match args.output {
        data @ (Format::Json | Format::Yaml) => {
            let rows: Vec<_> = images
                .iter()
                .map(|image| {
                    json!({"reference": image.reference, "digest": image.digest, "size": image.size})
                })
                .collect();
            terminal::data(data, &rows)
        }
        Format::Text => {
            let mut lines = vec![["IMAGE", "DIGEST", "SIZE"].map(str::to_owned).to_vec()];
            lines.extend(images.into_iter().map(|image| {
                let digest: String = image.digest.chars().take(19).collect();
                vec![image.reference, digest, size(image.size)]
            }));
            terminal::print(&table::aligned(&lines, terminal::coloured()))
        }
    }
}

/// Bytes in the unit people read.
fn size(bytes: u64) -> String {
    let (unit, name) = match bytes {
        0..1_000 => return format!("{bytes} B"),
        1_000..1_000_000 => (1_000, "kB"),
        1_000_000..1_000_000_000 => (1_000_000, "MB"),
        _ => (1_000_000_000, "GB"),
    };
    format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit)
}

fn files(args: &Pack) -> Result<Vec<File>> {
    let mut files = Vec::new();
    if let Some(program) = &args.program {
        files.push(File {
            source: program.clone(),
            target: inside(program)?,
            mode: 0o755,
        });
    }
    for pair in &args.files {
        let (source, target) = pair.split_once(':').ok_or_else(|| {
            Failure::new(Exit::Usage, format!("`{pair}` cannot be read"))
                .hint("write --add FILE:PATH")
        })?;
        add(Path::new(source), Path::new(target), &mut files)?;
    }
    if files.is_empty() {
        return Err(Failure::new(Exit::Usage, "an image needs files")
            .hint("name them with --program or --add"));
    }
    Ok(files)
}

/// Adds a file, or a folder with everything in it. Links are left out: what they name is not here.
fn add(source: &Path, target: &Path, files: &mut Vec<File>) -> Result {
    let doing = || failure::io(format!("reading {}", source.display()));
    let metadata = fs::metadata(source).map_err(doing())?;
    if metadata.is_file() {
        let mode = metadata.permissions().mode() & 0o777;
        files.push(File {
            source: source.to_owned(),
            target: target.to_owned(),
            mode,
        });
        return Ok(());
    }
    for entry in fs::read_dir(source).map_err(doing())? {
        let entry = entry.map_err(doing())?;
        if !entry.file_type().map_err(doing())?.is_symlink() {
            add(&entry.path(), &target.join(entry.file_name()), files)?;
        }
    }
    Ok(())
}

fn config(args: &Pack) -> Result<Config> {
    let mut entrypoint = args.entrypoint.clone();
    if let (true, Some(program)) = (entrypoint.is_empty(), &args.program) {
        entrypoint.push(inside(program)?.display().to_string());
    }
    if entrypoint.is_empty() {
        return Err(Failure::new(Exit::Usage, "the image starts nothing")
            .hint("say what with --entrypoint"));
    }
    Ok(Config {
        entrypoint,
        env: args.env.clone(),
        user: args.user.clone().unwrap_or_default(),
        ..Config::default()
    })
}

/// Where a program is in the image: at the top, under its own name.
fn inside(program: &Path) -> Result<PathBuf> {
    let name = program.file_name().ok_or_else(|| {
        Failure::new(
            Exit::Usage,
            format!("{} names no program", program.display()),
        )
    })?;
    Ok(Path::new("/").join(name))
}

fn failed(error: image::Error) -> Failure {
    use image::Error;
    let message = error.to_string();
    match error {
        Error::Reference { .. } | Error::Corrupt { .. } | Error::Unsupported { .. } => {
            Failure::new(Exit::Invalid, message)
        }
        Error::NotFound { .. } => {
            Failure::new(Exit::NotFound, message).hint("`choreo image list` shows what there is")
        }
        Error::NoSpace { .. } => {
            Failure::new(Exit::Machine, message).hint("free some space and try again")
        }
        Error::Io { doing, cause } => failure::io(doing)(cause),
        Error::Unauthorized { .. } | Error::Unreachable { .. } => {
            Failure::new(Exit::Failed, message)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_for_people() {
        assert_eq!(size(999), "999 B");
        assert_eq!(size(1_450_000), "1.4 MB");
        assert_eq!(size(2_000_000_000), "2.0 GB");
    }

    #[test]
    fn a_program_is_packed_at_the_top_and_started() {
        let temp = tempfile::tempdir().unwrap();
        let folder = Folder::resolve(Some(temp.path())).unwrap();
        let program = temp.path().join("hello");
        fs::write(&program, "#!").unwrap();
        let args = Pack {
            reference: "shop/hello:1".to_owned(),
            program: Some(program),
            files: Vec::new(),
            entrypoint: Vec::new(),
            env: Vec::new(),
            user: None,
        };
        assert_eq!(config(&args).unwrap().entrypoint, ["/hello"]);
        run(&folder, &Image::Pack(args)).unwrap();
        let images = open(&folder).unwrap().list().unwrap();
        assert_eq!(images[0].reference, "shop/hello:1");
    }
}
