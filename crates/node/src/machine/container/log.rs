//! Logs of containers in the format that Kubernetes' container runtimes write, kept short by rotation.
//!
//! `2026-11-21T07:30:00.000000000Z stdout F a whole line`; a line that is too long comes in parts
//! marked `P`, the last one marked `F`.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use jiff::Timestamp;

/// A file longer than this is set aside.
const LONGEST_FILE: u64 = 10 << 20;
/// How many files there are at most, the one being written included.
const FILES: usize = 3;
/// Longest part of a line that is kept in memory.
const LONGEST_PART: usize = 16 << 10;

/// Where a line was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// A log file that is being written.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: File,
    length: u64,
    limit: u64,
    /// Beginnings of lines that have not ended, by stream.
    open: [Vec<u8>; 2],
}

impl Log {
    /// Opens a log to append to.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        Self::open_limited(path, LONGEST_FILE)
    }

    fn open_limited(path: &Path, limit: u64) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let length = file.metadata()?.len();
        Ok(Self {
            path: path.to_owned(),
            file,
            length,
            limit,
            open: [Vec::new(), Vec::new()],
        })
    }

    /// Takes what a container wrote.
    pub(super) fn write(
        &mut self,
        stream: Stream,
        mut bytes: &[u8],
        now: Timestamp,
    ) -> io::Result<()> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.open[stream as usize].extend_from_slice(&bytes[..end]);
            self.flush_parts(stream, now)?;
            let line = std::mem::take(&mut self.open[stream as usize]);
            self.entry(stream, 'F', &line, now)?;
            bytes = &bytes[end + 1..];
        }
        self.open[stream as usize].extend_from_slice(bytes);
        self.flush_parts(stream, now)
    }

    /// Writes a last line that has no end.
    pub(super) fn finish(&mut self, stream: Stream, now: Timestamp) -> io::Result<()> {
        let line = std::mem::take(&mut self.open[stream as usize]);
        if line.is_empty() {
            Ok(())
        } else {
            self.entry(stream, 'F', &line, now)
        }
    }

    fn flush_parts(&mut self, stream: Stream, now: Timestamp) -> io::Result<()> {
        while self.open[stream as usize].len() > LONGEST_PART {
            let rest = self.open[stream as usize].split_off(LONGEST_PART);
            let part = std::mem::replace(&mut self.open[stream as usize], rest);
            self.entry(stream, 'P', &part, now)?;
        }
        Ok(())
    }

    fn entry(&mut self, stream: Stream, tag: char, line: &[u8], now: Timestamp) -> io::Result<()> {
        let mut entry = format!("{now:.9} {} {tag} ", stream.name()).into_bytes();
        entry.extend_from_slice(line);
        entry.push(b'\n');
        let length = u64::try_from(entry.len()).unwrap_or(u64::MAX);
        if self.length > 0 && self.length + length > self.limit {
            self.rotate()?;
        }
        if let Err(error) = self.file.write_all(&entry) {
            // Half of it may be there: the next entry begins a line.
            let _kept = self.file.set_len(self.length);
            return Err(error);
        }
        self.length += length;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        for age in (1..FILES).rev() {
            let younger = self.aged(age - 1);
            if younger.exists() {
                fs::rename(younger, self.aged(age))?;
            }
        }
        self.file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.path)?;
        self.length = 0;
        Ok(())
    }

    fn aged(&self, age: usize) -> PathBuf {
        if age == 0 {
            return self.path.clone();
        }
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{age}"));
        name.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn lines_are_joined_and_marked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/0.log");
        let mut log = Log::open(&path).unwrap();
        log.write(Stream::Stdout, b"a\nb", NOW).unwrap();
        log.write(Stream::Stderr, b"oops\n", NOW).unwrap();
        log.write(Stream::Stdout, b"c\nend", NOW).unwrap();
        log.finish(Stream::Stdout, NOW).unwrap();
        log.finish(Stream::Stderr, NOW).unwrap();
        let time = "1970-01-01T00:00:00.000000000Z";
        let expected = ["stdout F a", "stderr F oops", "stdout F bc", "stdout F end"]
            .map(|line| format!("{time} {line}\n"))
            .concat();
        assert_eq!(read(&path), expected);
    }

    #[test]
    fn long_lines_come_in_parts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.log");
        let mut log = Log::open(&path).unwrap();
        log.write(Stream::Stdout, &vec![b'x'; LONGEST_PART * 2 + 1], NOW)
            .unwrap();
        log.write(Stream::Stdout, b"\n", NOW).unwrap();
        let text = read(&path);
        let tags = text
            .lines()
            .map(|line| line.split(' ').nth(2).unwrap())
            .collect::<Vec<_>>();
        assert_eq!(tags, ["P", "P", "F"]);
    }

    #[test]
    fn files_are_rotated_and_few() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("0.log");
        let mut log = Log::open_limited(&path, 100).unwrap();
        for line in 0..20 {
            log.write(Stream::Stdout, format!("line {line}\n").as_bytes(), NOW)
                .unwrap();
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), FILES);
        assert!(read(&path).ends_with("line 19\n"));
        assert!(read(&log.aged(1)).contains("line 17"));
    }
}
