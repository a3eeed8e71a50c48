//! Tests of the repository as a whole and of the running binary; see `tests/`. There is nothing to use
//! from here.
