//! The functions that Kubernetes adds to CEL for rules: quantities, addresses, networks,
//! URLs, versions and named formats, as values of types of their own.

mod format;
mod network;
mod quantity;
mod semver;
mod url;

use std::{any::Any, cmp::Ordering, fmt::Debug, rc::Rc};

use choreo_template::{FINDING, Foreign, ORDERING, Overload, Plain};

/// All of them.
pub(super) const ALL: &[&[Overload]] = &[
    FINDING,
    ORDERING,
    format::FUNCTIONS,
    network::FUNCTIONS,
    quantity::FUNCTIONS,
    semver::FUNCTIONS,
    url::FUNCTIONS,
];

/// What is given and returned.
type Answer = Result<Plain, String>;

/// A value of a type of ours.
trait Typed: Debug + PartialEq + 'static {
    /// The name of the type.
    const NAME: &'static str;
}

#[derive(Debug)]
struct Held<T>(T);

impl<T: Typed> Foreign for Held<T> {
    fn type_name(&self) -> &'static str {
        T::NAME
    }

    fn equals(&self, other: &dyn Foreign) -> bool {
        let other = other.as_any().downcast_ref::<Self>();
        other.is_some_and(|other| self.0 == other.0)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

fn held<T: Typed>(value: T) -> Plain {
    Plain::Foreign(Rc::new(Held(value)))
}

/// An argument of a type of ours. Signatures keep others away.
fn of<T: Typed>(args: &[Plain], position: usize) -> Result<&T, String> {
    let found = match args.get(position) {
        Some(Plain::Foreign(value)) => value.as_any().downcast_ref::<Held<T>>(),
        _ => None,
    };
    found
        .map(|held| &held.0)
        .ok_or_else(|| format!("argument {position} is not of type {}", T::NAME))
}

fn text(args: &[Plain], position: usize) -> Result<&str, String> {
    match args.get(position) {
        Some(Plain::String(text)) => Ok(text),
        _ => Err(format!("argument {position} is not a text")),
    }
}

fn string(text: impl AsRef<str>) -> Plain {
    Plain::String(text.as_ref().into())
}

/// -1, 0 or 1, as comparisons are told.
fn order(order: Ordering) -> Plain {
    Plain::Int(i64::from(order as i8))
}

#[cfg(test)]
mod tests {
    use choreo_template::{Context, Dialect, Silent, Template, Tree};
    use serde_json::Value;

    const DIALECT: Dialect = Dialect::new(&[]).with(super::ALL);

    fn eval(source: &str) -> Result<Tree, String> {
        let whole = Value::from(format!("${{{source}}}"));
        let program =
            Template::parse(&DIALECT, &whole, "").map_err(|faults| faults[0].to_string())?;
        let outcome = program.eval(&Context::new(), &mut Silent);
        outcome
            .map(Option::unwrap_or_default)
            .map_err(|faults| faults[0].to_string())
    }

    #[test]
    fn functions_say_what_kubernetes_says() {
        for source in [
            "isQuantity('1.3Gi') && !isQuantity('200K') && !isQuantity('Three')",
            "quantity('50k').add(quantity('20k')) == quantity('70k')",
            "quantity('50k').add(20).sub(quantity('100k')).sub(-50000) == quantity('20')",
            "quantity('50k').asInteger() == 50000 && quantity('1.5').sign() == 1",
            "!quantity('1.5').isInteger() && quantity('50000000G').isInteger()",
            "!quantity('9999999999999999999999999999999999999G').isInteger()",
            "quantity('200M').compareTo(quantity('0.2G')) == 0",
            "quantity('50Mi').isGreaterThan(quantity('50M')) && quantity('1m').isLessThan(quantity('1'))",
            "quantity('50k').sub(20000).asApproximateFloat() == 30000.0",
            "quantity('1Ki') == quantity('1024')",
            "isIP('::1') && !isIP('127.0.0.256') && !isIP('::ffff:1.2.3.4') && !isIP('fe80::1%eth0')",
            "ip.isCanonical('2001:db8::abcd') && !ip.isCanonical('2001:DB8::ABCD')",
            "ip('::1').family() == 6 && ip('127.0.0.1').isLoopback() && ip('::').isUnspecified()",
            "ip('224.0.0.1').isLinkLocalMulticast() && ip('fe80::1').isLinkLocalUnicast()",
            "ip('192.168.0.1').isGlobalUnicast() && !ip('255.255.255.255').isGlobalUnicast()",
            "ip('2001:DB8::1') == ip('2001:db8::1') && string(ip('2001:DB8::1')) == '2001:db8::1'",
            "isCIDR('::1/128') && !isCIDR('192.168.0.0/33')",
            "cidr('192.168.0.0/24').containsIP(ip('192.168.0.1')) && !cidr('192.168.0.0/24').containsIP('192.168.1.1')",
            "cidr('192.168.0.0/16').containsCIDR('192.168.10.0/24')",
            "!cidr('192.168.0.0/24').containsCIDR(cidr('192.168.0.0/16'))",
            "cidr('192.168.0.1/24').masked() == cidr('192.168.0.0/24') && cidr('::1/128').prefixLength() == 128",
            "cidr('192.168.0.1/24').ip() == ip('192.168.0.1') && string(cidr('10.0.0.0/8')) == '10.0.0.0/8'",
            "isURL('/absolute-path') && !isURL('../relative-path') && !isURL('https://a:b:c/')",
            "url('https://user:pass@example.com:80/path?query=val#fragment').getHost() == 'example.com:80'",
            "url('https://[::1]:80/').getHostname() == '::1' && url('https://[::1]:80/').getPort() == '80'",
            "url('https://example.com').getEscapedPath() == '' && url('/path').getScheme() == ''",
            "url('https://example.com/path with spaces/').getEscapedPath() == '/path%20with%20spaces/'",
            "url('https://example.com/path?k1=a&k2=b&k2=c').getQuery() == {'k1': ['a'], 'k2': ['b', 'c']}",
            "url('https://example.com/path?').getQuery() == {}",
            "isSemver('1.0.0') && !isSemver('v1.0') && isSemver('v1.0', true)",
            "semver('1.2.3').major() == 1 && semver('01.01.01', true).minor() == 1",
            "semver('1.2.3').isLessThan(semver('2.0.0')) && semver('1.2.3').compareTo(semver('0.1.2')) == 1",
            "semver('1.0.0-alpha').isLessThan(semver('1.0.0')) && semver('1.0.0+a') == semver('1.0.0+b')",
            "!format.dns1123Label().validate('my-label').hasValue()",
            "format.dns1123Label().validate('My').value().size() == 1",
            "!format.dns1123LabelPrefix().validate('my-').hasValue()",
            "format.named('uuid').value().validate('x').value() == ['does not match the UUID format']",
            "!format.named('nothing').hasValue() && !format.date().validate('2021-01-01').hasValue()",
            "'abc 123'.find('[0-9]+') == '123' && 'abc'.find('[0-9]') == ''",
            "'1 2 3'.findAll('[0-9]') == ['1', '2', '3'] && '1 2 3'.findAll('[0-9]', 2) == ['1', '2']",
            "[1, 2, 2].isSorted() && !['b', 'a'].isSorted() && [1, 2, 3].sum() == 6",
            "[3, 1, 2].min() == 1 && ['a', 'c', 'b'].max() == 'c'",
            "[1, 2, 2].indexOf(2) == 1 && [1, 2, 2].lastIndexOf(2) == 2 && [1].indexOf(9) == -1",
            "'chicken'.indexOf('c') == 0 && 'chicken'.lastIndexOf('c') == 3",
        ] {
            assert_eq!(eval(source), Ok(Tree::Bool(true)), "{source}");
        }
    }

    #[test]
    fn mistakes_are_told() {
        for source in [
            "quantity('200K')",
            "ip(':::1')",
            "cidr('1.2.3.4')",
            "url('../a')",
            "semver('x')",
            "quantity('1.5').asInteger()",
            "[].min()",
            "quantity('1')",
        ] {
            assert!(eval(source).is_err(), "{source}");
        }
    }
}
