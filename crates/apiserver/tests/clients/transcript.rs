//! Transcripts of a shell: commands, what they print and how they end. `tests/clients/README.md`
//! tells how they are written.

use std::{fmt::Write as _, fs, path::Path, process::Command};

/// How long one command may take, in seconds.
const PATIENCE: &str = "60";

/// A command and what is expected of it.
#[derive(Debug)]
struct Step {
    line: usize,
    command: String,
    expected: Vec<String>,
    code: i32,
}

/// Where a transcript is played.
pub(crate) struct Stage<'a> {
    /// Where programs are looked for first.
    pub(crate) programs: &'a Path,
    pub(crate) config: &'a Path,
    /// An empty folder, where commands run.
    pub(crate) folder: &'a Path,
    pub(crate) chart: &'a Path,
}

impl Stage<'_> {
    /// What a command prints, and how it ends.
    pub(crate) fn run(&self, command: &str) -> (String, i32) {
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", self.programs.display());
        let output = Command::new("timeout")
            .args([PATIENCE, "sh", "-c", &format!("exec 2>&1\n{command}")])
            .current_dir(self.folder)
            .env_remove("CHOREO_ORACLE")
            .env("PATH", path)
            .env("HOME", self.folder)
            .env("KUBECONFIG", self.config)
            .env("CHART", self.chart)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (text, output.status.code().unwrap_or(-1))
    }
}

/// Plays the transcript in `file`, and tells where it went otherwise.
pub(crate) fn play(file: &Path, stage: &Stage<'_>) -> Vec<String> {
    let steps = parse(&fs::read_to_string(file).unwrap());
    assert!(!steps.is_empty(), "{} has no commands", file.display());
    let name = file.file_name().unwrap().to_string_lossy();
    steps
        .iter()
        .filter_map(|step| {
            let (text, code) = stage.run(&step.command);
            let lines: Vec<_> = text.lines().map(str::trim_end).collect();
            let lines: Vec<_> = lines.into_iter().filter(|line| counts(line)).collect();
            (code != step.code || !matches(&step.expected, &lines))
                .then(|| report(&name, step, &lines, code))
        })
        .collect()
}

/// Whether a line is of the program's answer. client-go logs a watch that it gave up itself, if what
/// it waited for was there before the watch had begun; that is a matter of chance at any server.
fn counts(line: &str) -> bool {
    let given_up = line.contains("reflector.go") && line.contains("context canceled");
    !line.is_empty() && !given_up
}

fn report(name: &str, step: &Step, lines: &[&str], code: i32) -> String {
    let mut text = format!("{name}:{} $ {}", step.line, step.command);
    let expected = step.expected.iter().map(String::as_str);
    for (sign, line) in expected
        .map(|line| ('-', line))
        .chain(lines.iter().map(|line| ('+', *line)))
    {
        write!(text, "\n    {sign} {line}").unwrap();
    }
    write!(text, "\n    ends with {code}, expected {}", step.code).unwrap();
    text
}

fn parse(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step {
                line: number + 1,
                command: command.to_owned(),
                expected: Vec::new(),
                code: 0,
            });
            continue;
        }
        if line.starts_with("# ") || line.trim().is_empty() {
            continue;
        }
        if let Some(step) = steps.last_mut() {
            if let Some(more) = line.strip_prefix("> ") {
                step.command.push('\n');
                step.command.push_str(more);
            } else if let Some(code) = line.strip_prefix("? ") {
                step.code = code.parse().unwrap();
            } else {
                step.expected.push(line.trim_end().to_owned());
            }
        }
    }
    steps
}

fn matches(expected: &[String], lines: &[&str]) -> bool {
    match (expected.split_first(), lines.split_first()) {
        (None, None) => true,
        (Some((dots, [])), _) if dots == "..." => true,
        (Some((pattern, expected)), Some((line, lines))) => {
            fits(pattern, line) && matches(expected, lines)
        }
        _ => false,
    }
}

/// Whether a line is what the pattern says, in which `*` is any text.
fn fits(pattern: &str, line: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == line;
    };
    let Some(line) = line.strip_prefix(start) else {
        return false;
    };
    (0..=line.len())
        .filter(|at| line.is_char_boundary(*at))
        .any(|at| fits(rest, &line[at..]))
}

#[test]
fn patterns_are_lines_with_gaps() {
    assert!(fits("a * c", "a b c"));
    assert!(fits("a*", "a"));
    assert!(!fits("a*c", "ab"));
    let steps = parse("# x\n$ one\n> two\nout *\n\n? 3\n$ three\n...\n");
    assert_eq!(steps[0].command, "one\ntwo");
    assert_eq!((steps[0].code, steps[0].expected.len()), (3, 1));
    assert!(matches(&steps[0].expected, &["out x"]));
    assert!(!matches(&steps[0].expected, &["out x", "y"]));
    assert!(matches(&steps[1].expected, &["a", "b"]));
    assert!(!counts(
        "E1 reflector.go:1] \"Failed to watch\" err=\"Get: context canceled\""
    ));
    assert!(counts(
        "E1 reflector.go:1] \"Failed to watch\" err=\"Get: EOF\""
    ));
}
