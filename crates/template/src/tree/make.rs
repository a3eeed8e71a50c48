//! Trees written down in the program.

/// A [`Tree`](crate::Tree) as JSON writes it: `tree!({"name": name, "ports": [80, port]})`. Names
/// are texts, or constants that are; values are anything that a tree can be made of.
#[macro_export]
macro_rules! tree {
    // What is read already is in brackets, in a form that needs no more looking at.
    (@members [$($read:tt)*]) => { $crate::Tree::Object($crate::Members::from([$($read)*])) };
    (@members [$($read:tt)*] $name:tt : { $($inner:tt)* } $(, $($rest:tt)*)?) => {
        $crate::tree!(
            @members [$($read)* ($crate::Name::from($name), $crate::tree!({ $($inner)* })),]
            $($($rest)*)?
        )
    };
    (@members [$($read:tt)*] $name:tt : [ $($inner:tt)* ] $(, $($rest:tt)*)?) => {
        $crate::tree!(
            @members [$($read)* ($crate::Name::from($name), $crate::tree!([ $($inner)* ])),]
            $($($rest)*)?
        )
    };
    (@members [$($read:tt)*] $name:tt : $value:expr $(, $($rest:tt)*)?) => {
        $crate::tree!(
            @members [$($read)* ($crate::Name::from($name), $crate::Tree::from($value)),]
            $($($rest)*)?
        )
    };
    (@items [$($read:tt)*]) => { $crate::Tree::Array($crate::Items::from([$($read)*])) };
    (@items [$($read:tt)*] { $($inner:tt)* } $(, $($rest:tt)*)?) => {
        $crate::tree!(@items [$($read)* $crate::tree!({ $($inner)* }),] $($($rest)*)?)
    };
    (@items [$($read:tt)*] [ $($inner:tt)* ] $(, $($rest:tt)*)?) => {
        $crate::tree!(@items [$($read)* $crate::tree!([ $($inner)* ]),] $($($rest)*)?)
    };
    (@items [$($read:tt)*] $item:expr $(, $($rest:tt)*)?) => {
        $crate::tree!(@items [$($read)* $crate::Tree::from($item),] $($($rest)*)?)
    };
    ({ $($members:tt)* }) => { $crate::tree!(@members [] $($members)*) };
    ([ $($items:tt)* ]) => { $crate::tree!(@items [] $($items)*) };
    ($value:expr) => { $crate::Tree::from($value) };
}
