//! The user a container runs as, looked up in the image's own files.

use std::{
    fs,
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
};

use super::{Error, Result, store::read_bounded};

const MAX_FILE: u64 = 1 << 20;

/// Resolves `name`, `uid`, `name:group`, `uid:gid` (empty: root) to numbers, by the `etc/passwd` and
/// `etc/group` of unpacked layers, lowest first. Without a group, the user's own group of
/// `etc/passwd` counts, else 0.
pub fn resolve_user(layers: &[PathBuf], user: &str) -> Result<(u32, u32)> {
    let (name, group) = match user.split_once(':') {
        Some((name, group)) => (name, Some(group)),
        None => (user, None),
    };
    let (uid, own_group) = if name.is_empty() {
        (0, None)
    } else {
        find_user(layers, name)?
    };
    let gid = match group.filter(|g| !g.is_empty()) {
        Some(group) => find_group(layers, group)?,
        None => own_group.unwrap_or(0),
    };
    Ok((uid, gid))
}

fn find_user(layers: &[PathBuf], name: &str) -> Result<(u32, Option<u32>)> {
    let number: Option<u32> = name.parse().ok();
    let passwd = read(layers, "passwd")?;
    // name:password:uid:gid:...
    let found = passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let uid: u32 = fields.get(2)?.parse().ok()?;
        let matches = fields.first() == Some(&name) || number == Some(uid);
        matches.then(|| (uid, fields.get(3).and_then(|gid| gid.parse().ok())))
    });
    match (found, number) {
        (Some((uid, gid)), _) => Ok((number.unwrap_or(uid), gid)),
        (None, Some(uid)) => Ok((uid, None)),
        (None, None) => Err(unknown("user", name)),
    }
}

fn find_group(layers: &[PathBuf], name: &str) -> Result<u32> {
    if let Ok(gid) = name.parse() {
        return Ok(gid);
    }
    let groups = read(layers, "group")?;
    // name:password:gid:members
    groups
        .lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?
        })
        .ok_or_else(|| unknown("group", name))
}

fn unknown(what: &str, name: &str) -> Error {
    Error::unsupported(
        format!("{what} {name:?} of the image"),
        format!("the image's /etc has no such {what}"),
    )
}

/// A file of `etc` as the container would see it: from the highest layer that has or deletes it.
fn read(layers: &[PathBuf], name: &str) -> Result<String> {
    for layer in layers.iter().rev() {
        let folder = layer.join("etc");
        // A link could point anywhere on the host: it is not followed.
        if !is(&folder, fs::FileType::is_dir) {
            continue;
        }
        let file = folder.join(name);
        if is(&file, fs::FileType::is_file) {
            let bytes = read_bounded(&file, MAX_FILE)?;
            return Ok(String::from_utf8_lossy(&bytes).into_owned());
        }
        let deleted = is(&file, fs::FileType::is_char_device)
            || folder.join(format!(".wh.{name}")).exists()
            || folder.join(".wh..wh..opq").exists();
        if deleted {
            break;
        }
    }
    Ok(String::new())
}

fn is(path: &Path, kind: impl Fn(&fs::FileType) -> bool) -> bool {
    fs::symlink_metadata(path).is_ok_and(|m| kind(&m.file_type()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(user: &str, expected: Option<(u32, u32)>) {
        let home = tempfile::tempdir().unwrap();
        let (low, high) = (home.path().join("low"), home.path().join("high"));
        for layer in [&low, &high] {
            fs::create_dir_all(layer.join("etc")).unwrap();
        }
        fs::write(low.join("etc/passwd"), "old:x:5:5::/:/bin/sh\n").unwrap();
        fs::write(
            high.join("etc/passwd"),
            "root:x:0:0::/:/bin/sh\nweb:x:101:102::/:/bin/sh\nbroken\n",
        )
        .unwrap();
        fs::write(low.join("etc/group"), "staff:x:50:web\n").unwrap();
        assert_eq!(resolve_user(&[low, high], user).ok(), expected, "{user}");
    }

    #[test]
    fn users_are_found_as_the_container_would() {
        check("", Some((0, 0)));
        check("web", Some((101, 102)));
        check("101", Some((101, 102)));
        check("web:staff", Some((101, 50)));
        check("7:8", Some((7, 8)));
        check("7", Some((7, 0)));
        check("old", None);
        check("web:nobody", None);
    }

    #[test]
    fn links_out_of_the_image_are_not_followed() {
        let home = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc", home.path().join("etc")).unwrap();
        assert!(resolve_user(&[home.path().to_owned()], "root").is_err());
    }
}
