//! The objects whose texts are in memory: those that were written last.
//!
//! Whoever waits for a change reads it at once, and what has just changed is often changed again. All other
//! texts are read from the disk when somebody asks for them.

use std::{
    collections::VecDeque,
    sync::{Arc, Weak},
};

use crate::{
    object::Stored,
    store::{Texts, Written},
};

/// How many bytes of texts are in memory.
const BYTES: usize = 4 << 20;

/// What was written last, the oldest first.
pub(crate) struct Recent {
    texts: Arc<Texts>,
    order: VecDeque<(Weak<Stored>, usize)>,
    bytes: usize,
}

impl Recent {
    /// Nothing yet; `texts` has what is left to the disk.
    pub(crate) fn new(texts: Arc<Texts>) -> Self {
        Self {
            texts,
            order: VecDeque::new(),
            bytes: 0,
        }
    }

    /// Takes down what was written, and leaves to the disk what is not recent any more.
    pub(crate) fn note(&mut self, written: &[Written]) {
        for one in written {
            let length = one.object.length();
            self.bytes += length;
            self.order.push_back((Arc::downgrade(&one.object), length));
        }
        while self.bytes > BYTES
            && let Some((object, length)) = self.order.pop_front()
        {
            self.bytes -= length;
            if let Some(object) = object.upgrade() {
                object.leave_to(&self.texts);
            }
        }
    }
}
