//! Many objects in little memory. Objects of a kind say mostly the same: their texts are packed beside
//! what others have said ([`Packed`]), and the words they have in common are in memory once
//! ([`shared`]).
//!
//! What is kept here belongs to the process and changes nothing but how much room things take.

mod packed;
mod shared;

pub use packed::Packed;
pub use shared::{shared, shared_list};
