//! Which program a program needs to be started: the loader of its shared libraries.

use std::{
    ffi::OsStr,
    io::{self, Read, Seek, SeekFrom},
    os::unix::ffi::OsStrExt as _,
    path::PathBuf,
};

/// What a 64-bit little-endian ELF file begins with.
const MAGIC: &[u8] = b"\x7fELF\x02\x01";
/// The type of the program header that names the loader (`PT_INTERP`).
const INTERPRETER: u32 = 3;
/// Longest path of a loader that is read.
const LONGEST: u64 = 4096;

/// The loader that an ELF program of this machine's kind names; `None` for programs without shared
/// libraries and for everything else.
///
/// Source: System V ABI, chapter 5, program header.
pub(super) fn of(program: &mut (impl Read + Seek)) -> io::Result<Option<PathBuf>> {
    let mut header = [0; 64];
    if program.read_exact(&mut header).is_err() || !header.starts_with(MAGIC) {
        return Ok(None);
    }
    let start = u64::from_le_bytes(array(&header, 32));
    let size = u64::from(u16::from_le_bytes(array(&header, 54)));
    let count = u64::from(u16::from_le_bytes(array(&header, 56)));
    for index in 0..count {
        program.seek(SeekFrom::Start(start.saturating_add(index * size)))?;
        let mut entry = [0; 56];
        program.read_exact(&mut entry)?;
        if u32::from_le_bytes(array(&entry, 0)) == INTERPRETER {
            let length = u64::from_le_bytes(array(&entry, 32)).min(LONGEST);
            program.seek(SeekFrom::Start(u64::from_le_bytes(array(&entry, 8))))?;
            let mut path = Vec::new();
            program.take(length).read_to_end(&mut path)?;
            path.retain(|byte| *byte != 0);
            return Ok(Some(OsStr::from_bytes(&path).into()));
        }
    }
    Ok(None)
}

/// The `N` bytes at a place that is inside.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    std::array::from_fn(|index| bytes[at + index])
}

#[cfg(test)]
mod tests {
    use std::{fs::File, io::Cursor};

    use super::*;

    #[test]
    fn programs_with_shared_libraries_name_their_loader() {
        // Whoever runs this has a shell that is one.
        let mut shell = File::open("/bin/sh").unwrap();
        let loader = of(&mut shell).unwrap().unwrap();
        assert!(loader.exists(), "{loader:?}");
    }

    #[test]
    fn everything_else_names_none() {
        for bytes in [&b""[..], b"#!/bin/sh\n", &[0; 100]] {
            assert_eq!(of(&mut Cursor::new(bytes)).unwrap(), None);
        }
        let mut static_program = [0; 120];
        static_program[..MAGIC.len()].copy_from_slice(MAGIC);
        static_program[32] = 64;
        static_program[54] = 56;
        static_program[56] = 1;
        assert_eq!(of(&mut Cursor::new(&static_program)).unwrap(), None);
        static_program[56] = 9;
        assert!(of(&mut Cursor::new(&static_program)).is_err());
    }
}
