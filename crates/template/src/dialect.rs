//! The language templates are written in: CEL, its libraries, ours, and the platform's helpers.

use crate::{MAX_TREE, arithmetic, comprehension, functions, size};
use cel::common::ast::{CallExpr, Expr, IdedExpr, operators};
use cel::parser::Macro;
use cel::{DeclarationError, Env, extensions};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, RwLock};

/// How many programs a dialect keeps; reached, it starts afresh.
const CACHED: usize = 20_000;

/// A call on a variable whose result the platform computes: `receiver.name()`, or
/// `receiver.name(key)`, which looks `key` up and returns an optional.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Helper {
    /// The variable it is called on.
    pub receiver: &'static str,
    /// The method's name.
    pub name: &'static str,
    /// Whether it takes a key.
    pub keyed: bool,
}

impl Helper {
    /// The variable that holds the result; no expression can spell it.
    pub(crate) fn variable(&self) -> String {
        format!("@{}_{}", self.receiver, self.name)
    }
}

/// A parsed expression, ready to be evaluated.
pub(crate) type Program = Arc<IdedExpr>;

/// The language. It keeps the programs it parsed, so parsing the same text again is a look-up.
pub struct Dialect {
    env: Arc<Env>,
    programs: RwLock<BTreeMap<String, Program>>,
}

impl fmt::Debug for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dialect").finish_non_exhaustive()
    }
}

/// A dialect could not be put together.
#[derive(Debug, thiserror::Error)]
#[error("the template language cannot be set up")]
pub struct Conflict(#[from] DeclarationError);

impl Dialect {
    /// CEL with `helpers`.
    pub fn new(helpers: &[Helper]) -> Result<Self, Conflict> {
        let mut env = Env::default().with_stdlib();
        env.add_extension(extensions::strings)?;
        env.add_extension(extensions::lists)?;
        env.add_extension(extensions::math)?;
        env.add_extension(extensions::encoders)?;
        comprehension::add(&mut env)?;
        functions::add(&mut env)?;
        arithmetic::add(&mut env)?;
        add_helpers(&mut env, helpers)?;
        Ok(Self {
            env: Arc::new(env),
            programs: RwLock::default(),
        })
    }

    pub(crate) fn env(&self) -> &Arc<Env> {
        &self.env
    }

    /// The program of `source`, from the cache when it was parsed before.
    pub(crate) fn program(&self, source: &str) -> Result<Program, String> {
        let cached = self.programs.read().ok();
        if let Some(program) = cached.as_ref().and_then(|programs| programs.get(source)) {
            return Ok(Arc::clone(program));
        }
        drop(cached);
        let program = Arc::new(self.parse(source)?);
        if let Ok(mut programs) = self.programs.write() {
            if programs.len() >= CACHED {
                programs.clear();
            }
            programs.insert(source.to_owned(), Arc::clone(&program));
        }
        Ok(program)
    }

    fn parse(&self, source: &str) -> Result<IdedExpr, String> {
        size::with_stack(source, || {
            let mut program = self.env.parser().parse(source).map_err(|errors| {
                let errors = errors.errors.iter();
                let messages: Vec<String> = errors
                    .map(|error| {
                        let (line, column) = error.pos;
                        format!("{} (line {line}, column {column})", error.msg)
                    })
                    .collect();
                messages.join("; ")
            })?;
            if size::depth(&program) > MAX_TREE {
                return Err(size::TOO_DEEP.to_owned());
            }
            arithmetic::rewrite(&mut program);
            Ok(program)
        })
    }
}

/// One macro per method name and arity, since several receivers may share a name.
fn add_helpers(env: &mut Env, helpers: &[Helper]) -> Result<(), DeclarationError> {
    let mut groups: BTreeMap<(&str, bool), Vec<Helper>> = BTreeMap::new();
    for helper in helpers {
        groups
            .entry((helper.name, helper.keyed))
            .or_default()
            .push(*helper);
    }
    for ((name, keyed), group) in groups {
        env.add_macro(Macro::receiver(
            name,
            usize::from(keyed),
            move |h, target, args| {
                let Some(Expr::Ident(receiver)) = target.as_ref().map(|target| &target.expr) else {
                    return Ok(None);
                };
                let Some(helper) = group.iter().find(|helper| helper.receiver == receiver) else {
                    return Ok(None);
                };
                let result = comprehension::ident(h, &helper.variable());
                Ok(Some(match args.pop() {
                    None => result,
                    Some(key) => h.next_expr(Expr::Call(CallExpr {
                        func_name: operators::OPT_INDEX.to_owned(),
                        target: None,
                        args: vec![result, key],
                    })),
                }))
            },
        ))?;
    }
    Ok(())
}
