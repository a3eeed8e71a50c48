//! Many objects in little memory. Objects of a kind say mostly the same: their texts are packed beside
//! what others have said ([`Packed`]), and the words they have in common are in memory once
//! ([`shared`], [`Pool`]), and identifiers are numbers ([`Uid`]).
//!
//! What is kept here belongs to the process and changes nothing but how much room things take.

mod packed;
mod shared;
mod uid;

pub use packed::Packed;
pub use shared::{Pool, shared};
pub use uid::Uid;
