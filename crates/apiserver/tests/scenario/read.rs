//! Reads scenarios. `tests/scenarios/README.md` tells how they are written.

/// A file of steps.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) steps: Vec<Step>,
    /// What differs in any of the steps.
    pub(crate) differs: Vec<Differs>,
    /// Whether it is played when no other is.
    pub(crate) alone: bool,
}

/// One request, or something about a watch that is open.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) title: String,
    /// Where it begins in its file.
    pub(crate) line: usize,
    pub(crate) action: Action,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
    /// Variables taken from the answer: name and path.
    pub(crate) keep: Vec<(String, String)>,
    /// Variables taken from headers of the answer: name and header.
    pub(crate) keep_headers: Vec<(String, String)>,
    /// Headers of the answer that are compared besides the usual ones.
    pub(crate) compared: Vec<String>,
    /// The parts of the body that are compared, if not all of it.
    pub(crate) only: Vec<String>,
    /// Asked again until this holds.
    pub(crate) until: Option<Condition>,
    pub(crate) differs: Vec<Differs>,
    pub(crate) raw: bool,
    pub(crate) anonymous: bool,
    pub(crate) hidden: bool,
    /// How long the text is that `{fill}` stands for.
    pub(crate) fill: usize,
    /// How often the request is sent; the last answer counts.
    pub(crate) times: usize,
}

/// What a step does.
#[derive(Debug)]
pub(crate) enum Action {
    Request {
        method: String,
        path: String,
    },
    /// Opens a watch under a name.
    Watch {
        name: String,
        path: String,
    },
    /// Reads events of an open watch; to its end without a number.
    Events {
        name: String,
        count: Option<usize>,
    },
    /// Makes the server forget what was before a version.
    Forget {
        version: String,
    },
}

/// What is waited for.
#[derive(Debug)]
pub(crate) enum Condition {
    Status(u16),
    Value { path: String, text: String },
}

/// A difference that is known, by its name in the documentation.
#[derive(Debug)]
pub(crate) struct Differs {
    pub(crate) reason: String,
    pub(crate) path: String,
}

impl Scenario {
    pub(crate) fn read(name: &str, text: &str) -> Self {
        let mut steps = Vec::new();
        let (mut differs, mut alone) = (Vec::new(), false);
        let lines: Vec<&str> = text.lines().collect();
        let starts: Vec<usize> = (0..lines.len())
            .filter(|at| lines[*at].starts_with("### "))
            .collect();
        let prose = starts.first().map_or(&lines[..], |first| &lines[..*first]);
        for line in prose.iter().filter_map(|line| line.strip_prefix('@')) {
            if line == "alone" {
                alone = true;
                continue;
            }
            let known = Differs::read(line);
            differs.push(known.unwrap_or_else(|| panic!("{name}: unknown: @{line}")));
        }
        for (index, start) in starts.iter().enumerate() {
            let end = starts.get(index + 1).copied().unwrap_or(lines.len());
            steps.push(Step::read(name, start + 1, &lines[*start..end]));
        }
        Self {
            name: name.into(),
            steps,
            differs,
            alone,
        }
    }
}

impl Differs {
    fn read(directive: &str) -> Option<Self> {
        match *directive.split_whitespace().collect::<Vec<_>>() {
            ["differs", reason, path] => Some(Self {
                reason: reason.into(),
                path: path.into(),
            }),
            _ => None,
        }
    }
}

impl Step {
    fn read(file: &str, line: usize, lines: &[&str]) -> Self {
        let head_end = lines.iter().position(|line| line.trim().is_empty());
        let (head, body) = lines.split_at(head_end.unwrap_or(lines.len()));
        let mut head = head[1..].iter().filter(|line| !line.starts_with("# "));
        let place = format!("{file}:{line}");
        let action = head.next().and_then(|line| Action::read(line));
        let mut step = Self {
            title: lines[0].trim_start_matches('#').trim().into(),
            line,
            action: action.unwrap_or_else(|| panic!("{place}: no request after the title")),
            headers: Vec::new(),
            body: body.join("\n").trim().into(),
            keep: Vec::new(),
            keep_headers: Vec::new(),
            compared: Vec::new(),
            only: Vec::new(),
            until: None,
            differs: Vec::new(),
            raw: false,
            anonymous: false,
            hidden: false,
            fill: 0,
            times: 1,
        };
        for line in head {
            if let Some(directive) = line.strip_prefix('@') {
                step.direct(&place, directive);
                continue;
            }
            let header = line.split_once(':');
            let (name, value) =
                header.unwrap_or_else(|| panic!("{place}: neither a header nor @word: {line}"));
            step.headers.push((name.into(), value.trim().into()));
        }
        step
    }

    fn direct(&mut self, place: &str, directive: &str) {
        let words: Vec<&str> = directive.split_whitespace().collect();
        match words.as_slice() {
            ["keep", name, path] => self.keep.push(((*name).into(), (*path).into())),
            ["keep", name, "header", header] => {
                self.keep_headers.push(((*name).into(), (*header).into()));
            }
            ["headers", names @ ..] => self
                .compared
                .extend(names.iter().map(|name| (*name).to_owned())),
            ["only", paths @ ..] => self
                .only
                .extend(paths.iter().map(|path| (*path).to_owned())),
            ["until", "status", code] => {
                self.until = Some(Condition::Status(code.parse().unwrap()));
            }
            ["until", path, text @ ..] => {
                self.until = Some(Condition::Value {
                    path: (*path).into(),
                    text: text.join(" "),
                });
            }
            ["differs", ..] => self.differs.extend(Differs::read(directive)),
            ["fill", size] => self.fill = size.parse().unwrap(),
            ["times", count] => self.times = count.parse().unwrap(),
            ["raw"] => self.raw = true,
            ["anonymous"] => self.anonymous = true,
            ["hidden"] => self.hidden = true,
            _ => panic!("{place}: unknown: @{directive}"),
        }
    }
}

impl Action {
    fn read(line: &str) -> Option<Self> {
        match *line.split_whitespace().collect::<Vec<_>>() {
            ["WATCH", name, path] => Some(Self::Watch {
                name: name.into(),
                path: path.into(),
            }),
            ["EVENTS", name] => Some(Self::Events {
                name: name.into(),
                count: None,
            }),
            ["EVENTS", name, count] => Some(Self::Events {
                name: name.into(),
                count: Some(count.parse().ok()?),
            }),
            ["FORGET", version] => Some(Self::Forget {
                version: version.into(),
            }),
            [method, path] => Some(Self::Request {
                method: method.into(),
                path: path.into(),
            }),
            _ => None,
        }
    }
}
