//! What the programs of the sample share: the goods, a small server, a small client. Everything the
//! outside world must provide (port, addresses, secrets) enters as environment variables, as the
//! component's workload declares them.

mod client;
mod ending;
mod items;
mod page;
mod place;
mod server;

pub use self::{
    client::{AskError, fetch},
    ending::ended,
    items::{Item, items, recommend, short},
    page::{Shop, render},
    place::Place,
    server::{Answer, ServeError, serve},
};
