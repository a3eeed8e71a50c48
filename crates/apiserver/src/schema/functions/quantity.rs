//! Quantities.

use std::cmp::Ordering;

use choreo_template::{Overload, Plain, Sig};

use super::{Answer, Typed, held, of, order, text};
use crate::schema::quantity::{exact, is_quantity, value};

/// A billionth of one: quantities know nothing smaller.
const ONE: i128 = 1_000_000_000;

#[derive(Clone, Copy, Debug)]
struct Quantity {
    /// In billionths; none if it is too large to be counted so.
    exact: Option<i128>,
    near: f64,
}

impl Typed for Quantity {
    const NAME: &'static str = "kubernetes.Quantity";
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.compare(other).is_eq()
    }
}

impl Quantity {
    fn parse(text: &str) -> Option<Self> {
        let near = is_quantity(text).then(|| value(text)).flatten()?;
        let near = if text.starts_with('-') {
            -near.abs()
        } else {
            near
        };
        Some(Self {
            exact: exact(text),
            near,
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "the near value is near")]
    fn of_billionths(billionths: i128) -> Self {
        Self {
            exact: Some(billionths),
            near: billionths as f64 / ONE as f64,
        }
    }

    fn whole(number: i64) -> Self {
        Self::of_billionths(i128::from(number) * ONE)
    }

    fn compare(&self, other: &Self) -> Ordering {
        match (self.exact, other.exact) {
            (Some(own), Some(other)) => own.cmp(&other),
            _ => self.near.total_cmp(&other.near),
        }
    }

    fn plus(&self, other: &Self, sign: i8) -> Self {
        let both = self.exact.zip(other.exact);
        let sum = both.and_then(|(own, other)| own.checked_add(other * i128::from(sign)));
        sum.map_or_else(
            || Self {
                exact: None,
                near: self.near + other.near * f64::from(sign),
            },
            Self::of_billionths,
        )
    }

    fn integer(&self) -> Option<i64> {
        let exact = self.exact.filter(|exact| exact % ONE == 0)?;
        i64::try_from(exact / ONE).ok()
    }
}

const TYPE: Sig = Sig::Foreign(Quantity::NAME);
const ONE_TEXT: &[Sig] = &[Sig::String];
const ALONE: &[Sig] = &[TYPE];
const TWO: &[Sig] = &[TYPE, TYPE];
const AND_INT: &[Sig] = &[TYPE, Sig::Int];

pub(super) const FUNCTIONS: &[Overload] = &[
    Overload::function("quantity", ONE_TEXT, TYPE, |args| {
        let text = text(args, 0)?;
        let parsed = Quantity::parse(text);
        parsed.map(held).ok_or_else(|| {
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
                .to_owned()
        })
    }),
    Overload::function("isQuantity", ONE_TEXT, Sig::Bool, |args| {
        Ok(Plain::Bool(is_quantity(text(args, 0)?)))
    }),
    Overload::method("isInteger", ALONE, Sig::Bool, |args| {
        Ok(Plain::Bool(of::<Quantity>(args, 0)?.integer().is_some()))
    }),
    Overload::method("asInteger", ALONE, Sig::Int, |args| {
        let integer = of::<Quantity>(args, 0)?.integer();
        let why = "cannot convert value to integer";
        integer.map(Plain::Int).ok_or_else(|| why.to_owned())
    }),
    Overload::method("asApproximateFloat", ALONE, Sig::Double, |args| {
        Ok(Plain::Double(of::<Quantity>(args, 0)?.near))
    }),
    Overload::method("sign", ALONE, Sig::Int, |args| {
        let sign = of::<Quantity>(args, 0)?.compare(&Quantity::whole(0));
        Ok(order(sign))
    }),
    Overload::method("add", TWO, TYPE, |args| combined(args, 1)),
    Overload::method("add", AND_INT, TYPE, |args| combined(args, 1)),
    Overload::method("sub", TWO, TYPE, |args| combined(args, -1)),
    Overload::method("sub", AND_INT, TYPE, |args| combined(args, -1)),
    Overload::method("isLessThan", TWO, Sig::Bool, |args| {
        compared(args).map(|order| Plain::Bool(order.is_lt()))
    }),
    Overload::method("isGreaterThan", TWO, Sig::Bool, |args| {
        compared(args).map(|order| Plain::Bool(order.is_gt()))
    }),
    Overload::method("compareTo", TWO, Sig::Int, |args| compared(args).map(order)),
];

fn compared(args: &[Plain]) -> Result<Ordering, String> {
    Ok(of::<Quantity>(args, 0)?.compare(of(args, 1)?))
}

fn combined(args: &[Plain], sign: i8) -> Answer {
    let other = match args.get(1) {
        Some(Plain::Int(number)) => Quantity::whole(*number),
        _ => *of(args, 1)?,
    };
    Ok(held(of::<Quantity>(args, 0)?.plus(&other, sign)))
}
