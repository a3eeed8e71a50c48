//! What was parsed or frozen once: the templates and schemas of types and traits, and these themselves.
//!
//! The cache belongs to whoever compiles, and changes nothing but speed: an entry is found by the
//! content it was made of, never by a name alone.

use crate::dialect::{DIALECT, HELPERS, RARE_VARIABLES};
use crate::freezer::Freezer;
use crate::schema::{Schema, Violation};
use choreo_model::plane::GatewaySpec;
use choreo_template::{Fault, Helper, Template, Tree};
use serde::Serialize;
use serde_json::Value;
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// How many documents are kept; the one not used for longest makes room.
const KEPT: usize = 512;
/// How many sets of gateways are kept; the oldest makes room.
const GATEWAYS: usize = 32;

/// Parsed templates and schemas, and frozen types, kept between compilations. Clones share what they keep.
#[derive(Clone, Default)]
pub struct Programs {
    shelf: Arc<Mutex<Shelf>>,
    gateways: Arc<Mutex<VecDeque<(GatewaySpec, Tree)>>>,
    freezer: Arc<Mutex<Freezer>>,
}

impl fmt::Debug for Programs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Programs").finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Shelf {
    kept: BTreeMap<String, Vec<Kept>>,
    count: usize,
    clock: u64,
}

struct Kept {
    content: Box<dyn Any + Send + Sync>,
    sheet: Arc<Sheet>,
    used: u64,
}

impl Programs {
    /// What templates see of `gateway`, which is the same for all that is rendered for one
    /// environment.
    pub(crate) fn gateway(&self, gateway: &GatewaySpec) -> Tree {
        let mut gateways = self.gateways.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = gateways.iter().find(|(known, _)| known == gateway) {
            return known.clone();
        }
        // All of it is texts and numbers.
        let made = Tree::of(gateway).unwrap_or_default();
        gateways.truncate(GATEWAYS - 1);
        gateways.push_front((gateway.clone(), made.clone()));
        made
    }

    /// What types and traits are when they are frozen.
    pub(crate) fn freezer(&self) -> MutexGuard<'_, Freezer> {
        let mut freezer = self.freezer.lock().unwrap_or_else(PoisonError::into_inner);
        if freezer.len() > KEPT {
            *freezer = Freezer::default();
        }
        freezer
    }

    /// What is parsed of the document `content`, which is called `name`.
    pub(crate) fn sheet<T>(&self, name: &str, content: &T) -> Arc<Sheet>
    where
        T: PartialEq + Clone + Serialize + Send + Sync + 'static,
    {
        // A panic elsewhere leaves nothing here that is worse than an empty cache.
        let mut shelf = self.shelf.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.clock += 1;
        let now = shelf.clock;
        let same = |kept: &&mut Kept| {
            kept.content
                .downcast_ref::<T>()
                .is_some_and(|known| known == content)
        };
        if let Some(found) = shelf
            .kept
            .get_mut(name)
            .and_then(|all| all.iter_mut().find(same))
        {
            found.used = now;
            return Arc::clone(&found.sheet);
        }
        if shelf.count >= KEPT {
            shelf.drop_oldest();
        }
        let (helpers, variables) = mentioned(content);
        let sheet = Arc::new(Sheet {
            helpers,
            variables,
            ..Sheet::default()
        });
        let kept = Kept {
            content: Box::new(content.clone()),
            sheet: Arc::clone(&sheet),
            used: now,
        };
        shelf.kept.entry(name.to_owned()).or_default().push(kept);
        shelf.count += 1;
        sheet
    }
}

impl Shelf {
    fn drop_oldest(&mut self) {
        let oldest = self.kept.values().flatten().map(|kept| kept.used).min();
        self.kept.retain(|_, all| {
            all.retain(|kept| Some(kept.used) != oldest);
            !all.is_empty()
        });
        self.count = self.kept.values().map(Vec::len).sum();
    }
}

/// A template, or why it is none.
pub(crate) type Parsed = Result<Template, Vec<Fault>>;
/// A schema, or why it is none.
pub(crate) type Read = Result<Schema, Violation>;

/// What is parsed of one document, by place; filled as it is asked for.
#[derive(Default)]
pub(crate) struct Sheet {
    /// The names of helpers that occur anywhere in the document.
    helpers: BTreeSet<&'static str>,
    /// Of the variables with helpers and the rare ones, those whose names occur without a helper behind
    /// them.
    variables: BTreeSet<&'static str>,
    templates: RwLock<BTreeMap<String, Arc<Parsed>>>,
    schemas: RwLock<BTreeMap<String, Arc<Read>>>,
}

type Names = BTreeSet<&'static str>;

/// The names of helpers that occur in `content`, which may use them, and of the variables that have
/// helpers, or are rare, those that may be read otherwise.
fn mentioned(content: &impl Serialize) -> (Names, Names) {
    let names = HELPERS.iter().map(|helper| helper.name);
    let receivers = HELPERS.iter().map(|helper| helper.receiver);
    let variables = receivers.chain(RARE_VARIABLES);
    let Ok(text) = serde_json::to_string(content) else {
        return (names.collect(), variables.collect());
    };
    let is_read = |variable: &&str| {
        let mut places = text.match_indices(*variable);
        places.any(|(place, _)| {
            let behind = text[place + variable.len()..].strip_prefix('.');
            let called =
                |helper: &&Helper| behind.is_some_and(|text| text.starts_with(helper.name));
            let mut own = HELPERS.iter().filter(|helper| helper.receiver == *variable);
            !own.any(|helper| called(&helper))
        })
    };
    (
        names.filter(|name| text.contains(name)).collect(),
        variables.filter(is_read).collect(),
    )
}

impl Sheet {
    /// Whether the document may use `helper`.
    pub(crate) fn mentions(&self, helper: Helper) -> bool {
        self.helpers.contains(helper.name)
    }

    /// Whether the document may read `variable`, a rare one or one with helpers, beyond asking these.
    pub(crate) fn reads(&self, variable: &str) -> bool {
        self.variables.contains(variable)
    }

    /// The template that `value`, the document's value at `pointer`, is.
    pub(crate) fn template(&self, pointer: &str, value: &Value) -> Arc<Parsed> {
        once(&self.templates, pointer, || {
            Template::parse(&DIALECT, value, pointer)
        })
    }

    /// The schema that `value`, the document's value at `field`, is.
    pub(crate) fn schema(&self, field: &str, value: &Value) -> Arc<Read> {
        once(&self.schemas, field, || Schema::read(value))
    }
}

fn once<P>(
    known: &RwLock<BTreeMap<String, Arc<P>>>,
    place: &str,
    make: impl FnOnce() -> P,
) -> Arc<P> {
    let found = known
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .get(place)
        .cloned();
    found.unwrap_or_else(|| {
        let made = Arc::new(make());
        let mut known = known.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(place.to_owned(), Arc::clone(&made));
        made
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_the_same_is_parsed_once() {
        let programs = Programs::default();
        let first = programs.sheet("Trait/a", &json!({"a": "${1}"}));
        assert!(Arc::ptr_eq(
            &first,
            &programs.sheet("Trait/a", &json!({"a": "${1}"}))
        ));
        assert!(!Arc::ptr_eq(
            &first,
            &programs.sheet("Trait/a", &json!({"a": "${2}"}))
        ));
        assert!(!Arc::ptr_eq(
            &first,
            &programs.sheet("Trait/b", &json!({"a": "${1}"}))
        ));
        let template = first.template("/a", &json!("${1}"));
        assert!(Arc::ptr_eq(
            &template,
            &first.template("/a", &json!("${1}"))
        ));
    }

    #[test]
    fn gateways_are_known_by_what_they_are() {
        let programs = Programs::default();
        let gateway = |name: usize| -> GatewaySpec {
            let name = name.to_string();
            let pair = json!({"external": {"name": name, "namespace": "n"}});
            serde_json::from_value(json!({ "ingress": pair })).expect("a gateway")
        };
        for round in 0..2 {
            for number in 0..=GATEWAYS {
                let found = programs.gateway(&gateway(number));
                let name = &found["ingress"]["external"]["name"];
                assert_eq!(*name, number.to_string().as_str(), "{round}");
            }
        }
        assert_eq!(programs.gateways.lock().unwrap().len(), GATEWAYS);
    }

    #[test]
    fn helpers_are_known_by_their_names() {
        let programs = Programs::default();
        let sheet = programs.sheet("Trait/a", &json!({"a": "${workload.toServicePorts()}"}));
        assert!(sheet.mentions(crate::dialect::SERVICE_PORTS));
        assert!(!sheet.mentions(crate::dialect::ENDPOINT_RESOURCES));
    }

    #[test]
    fn variables_are_read_where_no_helper_of_theirs_is_asked() {
        let reads = |expression: &str| {
            let sheet = Programs::default().sheet("Trait/a", &json!({ "a": expression }));
            sheet.reads("configurations")
        };
        assert!(!reads("${configurations.toVolumes()}"));
        assert!(reads(
            "${configurations.toVolumes() + configurations.configs.envs}"
        ));
        assert!(reads("${configurations['configs']}"));
        assert!(reads("${[configurations].size()}"));
        // A helper of another.
        assert!(reads("${configurations.toServicePorts()}"));
        assert!(!reads("${dependencies.items}"));
    }

    #[test]
    fn no_more_is_kept_than_fits() {
        let programs = Programs::default();
        let first = programs.sheet("Trait/a", &json!(0));
        for number in 1..=KEPT {
            programs.sheet("Trait/a", &json!(number));
        }
        assert!(!Arc::ptr_eq(&first, &programs.sheet("Trait/a", &json!(0))));
        assert_eq!(programs.shelf.lock().unwrap().count, KEPT);
    }
}
