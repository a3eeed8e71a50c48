//! Named formats, and what is wrong with a text that should have one.

use choreo_template::{Overload, Plain, Sig, format::Format};

use super::{Answer, Typed, held, of, text};
use crate::builtin::names;

/// A format and its rule.
#[derive(Clone, Copy, Debug)]
struct Named {
    name: &'static str,
    broken: fn(&str) -> Option<String>,
}

impl Typed for Named {
    const NAME: &'static str = "kubernetes.NamedFormat";
}

impl PartialEq for Named {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

const TYPE: Sig = Sig::Foreign(Named::NAME);

/// Every format, and how to ask for it alone.
macro_rules! formats {
    ($($name:literal => $broken:expr),* $(,)?) => {
        const ALL: &[Named] = &[$(Named { name: $name, broken: $broken }),*];

        pub(super) const FUNCTIONS: &[Overload] = &[
            Overload::function(
                "format.named",
                &[Sig::String],
                Sig::Optional(&TYPE),
                named,
            ),
            Overload::method(
                "validate",
                &[TYPE, Sig::String],
                Sig::Optional(&Sig::List(&Sig::String)),
                validate,
            ),
            $(Overload::function(
                concat!("format.", $name),
                &[],
                TYPE,
                |_| Ok(held(Named { name: $name, broken: $broken })),
            )),*
        ];
    };
}

formats! {
    "dns1123Label" => names::label,
    "dns1123Subdomain" => names::subdomain,
    "dns1035Label" => names::service,
    "qualifiedName" => names::qualified,
    "dns1123LabelPrefix" => |text| names::label(&whole(text)),
    "dns1123SubdomainPrefix" => |text| names::subdomain(&whole(text)),
    "dns1035LabelPrefix" => |text| names::service(&whole(text)),
    "labelValue" => names::label_value,
    "uri" => super::url::broken,
    "uuid" => |text| unless("uuid", text, "does not match the UUID format"),
    "byte" => |text| unless("byte", text, "invalid base64"),
    "date" => |text| unless("date", text, "invalid date"),
    "datetime" => |text| unless("datetime", text, "invalid datetime"),
}

/// The beginning of a name may end in a dash: something follows.
fn whole(text: &str) -> String {
    match text.strip_suffix('-') {
        Some(rest) if !rest.is_empty() => format!("{rest}a"),
        _ => text.to_owned(),
    }
}

fn unless(name: &str, text: &str, words: &str) -> Option<String> {
    let good = Format::parse(name).is_some_and(|format| format.accepts_text(text));
    (!good).then(|| words.to_owned())
}

fn named(args: &[Plain]) -> Answer {
    let name = text(args, 0)?;
    let found = ALL.iter().find(|format| format.name == name);
    Ok(Plain::Optional(found.map(|found| Box::new(held(*found)))))
}

fn validate(args: &[Plain]) -> Answer {
    let broken = (of::<Named>(args, 0)?.broken)(text(args, 1)?);
    let list = broken.map(|words| Box::new(Plain::List(vec![Plain::String(words.into())])));
    Ok(Plain::Optional(list))
}
