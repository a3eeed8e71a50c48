//! The one table that holds objects: every version of every object, in the order they were written.
//!
//! What an object is now is its newest version; the earlier ones are its past, until they are
//! forgotten. So a write is one row behind all others, which costs least of what a database can be
//! asked for. The key of a row is its version, and each names the one it took the place of.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rusqlite::{Connection, Transaction, params, types::ValueRef};

use super::{
    Collection, Error, Written,
    database::classify,
    keys::Keyring,
    row::{Label, Link, Trouble, Troubles, is_current},
    texts::Texts,
};
use crate::object::Stored;

/// How the table is made.
pub(super) const TABLE: &str = "CREATE TABLE versions (
    version INTEGER PRIMARY KEY,
    previous INTEGER,
    deleted INTEGER NOT NULL,
    collection TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    sum INTEGER NOT NULL,
    data BLOB NOT NULL
) STRICT;";

/// Everything on disk when the store is opened.
pub(crate) struct Loaded {
    /// Newest version given.
    pub(crate) version: u64,
    /// History is complete after this version.
    pub(crate) horizon: u64,
    pub(crate) objects: Vec<(Collection, Arc<Stored>)>,
    /// In order of versions.
    pub(crate) history: Vec<Past>,
    /// How long the texts of those are, in bytes.
    pub(super) sizes: Vec<usize>,
    /// Where the texts of objects are read.
    pub(crate) texts: Arc<Texts>,
    /// Whether a secret is there that the present key did not seal.
    pub(super) stale: bool,
}

/// One remembered change.
pub(crate) struct Past {
    pub(crate) collection: Collection,
    pub(crate) deleted: bool,
    pub(crate) object: Arc<Stored>,
    pub(crate) previous: Option<Arc<Stored>>,
}

/// Everything a file holds, if all of it is as it was written. Texts are left to where `texts` reads them.
pub(super) fn read(connection: &Connection, texts: &Arc<Texts>) -> Result<Loaded, Error> {
    let failed = |source| classify(&texts.path, source);
    let horizon = connection
        .query_row("SELECT version FROM horizon", [], |row| version(row, 0))
        .map_err(failed)?;
    let mut reading = Reading {
        texts,
        horizon,
        newest: horizon,
        names: BTreeSet::new(),
        present: BTreeMap::new(),
        history: Vec::new(),
        stale: false,
        sizes: Vec::new(),
        troubles: Troubles::default(),
    };
    reading.all(connection).map_err(failed)?;
    reading.troubles.verdict(&texts.path, &texts.keys)?;
    Ok(Loaded {
        texts: Arc::clone(texts),
        version: reading.newest,
        horizon,
        objects: reading.present.into_values().collect(),
        history: reading.history,
        sizes: reading.sizes,
        stale: reading.stale,
    })
}

/// What is known of a file after some of its rows.
struct Reading<'a> {
    texts: &'a Arc<Texts>,
    horizon: u64,
    newest: u64,
    /// One collection name is one allocation, however many objects it has.
    names: BTreeSet<Collection>,
    /// The objects that are there, by version.
    present: BTreeMap<u64, (Collection, Arc<Stored>)>,
    history: Vec<Past>,
    sizes: Vec<usize>,
    stale: bool,
    troubles: Troubles,
}

impl Reading<'_> {
    fn all(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let mut statement = connection.prepare(
            "SELECT collection, namespace, name, version, sum, data, previous, deleted
             FROM versions ORDER BY version",
        )?;
        let mut rows = statement.query([])?;
        let keys = &self.texts.keys;
        while let Some(row) = rows.next()? {
            let label = label(row, 0)?;
            let link = Link {
                previous: row.get(6)?,
                deleted: row.get(7)?,
            };
            let data = blob(row.get_ref(5))?;
            self.stale |= label.is_secret() && !is_current(keys, data);
            match decode(keys, &label, row.get(4)?, data, Some(&link)) {
                Ok(object) => {
                    object.leave_to(self.texts);
                    if label.version > self.horizon {
                        self.sizes.push(data.len());
                    }
                    self.one(&label, link, object);
                }
                Err(trouble) => self.troubles.add(label, trouble),
            }
        }
        Ok(())
    }

    fn one(&mut self, label: &Label<'_>, link: Link, object: Stored) {
        let collection = self.name(label.collection);
        let object = Arc::new(object);
        let previous = link.previous.map(i64::cast_unsigned);
        let replaced = previous.and_then(|version| self.present.remove(&version));
        if !link.deleted {
            let entry = (Arc::clone(&collection), Arc::clone(&object));
            self.present.insert(label.version, entry);
        }
        if label.version <= self.horizon {
            return;
        }
        // Behind the horizon every version that was given is there, and whatever it replaced.
        let gap = label.version != self.newest + 1;
        if self.troubles.are_none() && (gap || previous.is_some() && replaced.is_none()) {
            let before = format!("what was there before {label}");
            self.troubles.add(before, Trouble::Missing);
        }
        self.newest = label.version;
        // Files of before may have forgotten what was deleted: its last state is as good.
        let last = link.deleted.then(|| Arc::clone(&object));
        self.history.push(Past {
            collection,
            deleted: link.deleted,
            object,
            previous: replaced.map(|(_, object)| object).or(last),
        });
    }

    fn name(&mut self, name: &str) -> Collection {
        if let Some(known) = self.names.get(name) {
            return Arc::clone(known);
        }
        let name: Collection = name.into();
        self.names.insert(Arc::clone(&name));
        name
    }
}

/// The object of a row, if the row is as it was written.
pub(super) fn decode(
    keys: &Keyring,
    label: &Label<'_>,
    sum: u32,
    data: &[u8],
    link: Option<&Link>,
) -> Result<Stored, Trouble> {
    let json = label.text(keys, sum, data, link)?;
    Stored::parse(label.version, json.into()).map_err(|error| Trouble::Bad(error.to_string()))
}

/// What is written of an object: its text, sealed if it is a secret.
pub(super) fn encode<'a>(
    keys: &Keyring,
    label: &Label<'_>,
    json: &'a [u8],
) -> rusqlite::Result<Cow<'a, [u8]>> {
    if !label.is_secret() {
        return Ok(Cow::Borrowed(json));
    }
    let sealed = label.wrap(keys, json).map(Cow::Owned);
    sealed.ok_or_else(|| rusqlite::Error::ToSqlConversionFailure("it cannot be sealed".into()))
}

/// Writes a change: the object as it is now, or as it was last, with its JSON.
pub(super) fn write(
    transaction: &Transaction<'_>,
    keys: &Keyring,
    (written, json): (&Written, &[u8]),
) -> rusqlite::Result<()> {
    let label = Label::new(&written.collection, &written.object);
    let link = Link {
        previous: (written.previous.as_ref()).map(|object| object.version.cast_signed()),
        deleted: written.deleted,
    };
    let data = encode(keys, &label, json)?;
    append(transaction, &label, link, &data)
}

/// Adds a row.
pub(super) fn append(
    transaction: &Transaction<'_>,
    label: &Label<'_>,
    link: Link,
    data: &[u8],
) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("INSERT INTO versions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
        .execute(params![
            label.version.cast_signed(),
            link.previous,
            link.deleted,
            label.collection,
            label.namespace,
            label.name,
            label.sum(data, Some(&link)),
            data
        ])?;
    Ok(())
}

/// Forgets the past from one horizon to a later one: what was replaced or deleted on the way.
pub(super) fn forget(
    transaction: &Transaction<'_>,
    (from, horizon): (u64, u64),
) -> rusqlite::Result<()> {
    let span = [from.cast_signed(), horizon.cast_signed()];
    for sql in [
        "DELETE FROM versions WHERE version IN (
             SELECT previous FROM versions WHERE version > ?1 AND version <= ?2)",
        "DELETE FROM versions WHERE version > ?1 AND version <= ?2 AND deleted",
    ] {
        transaction.prepare_cached(sql)?.execute(span)?;
    }
    set_horizon(transaction, horizon)
}

/// Forgets all of the past. History begins anew behind `horizon`.
pub(super) fn forget_all(transaction: &Transaction<'_>, horizon: u64) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "DELETE FROM versions WHERE deleted OR version IN (
             SELECT previous FROM versions WHERE previous IS NOT NULL)",
    )?;
    set_horizon(transaction, horizon)
}

fn set_horizon(transaction: &Transaction<'_>, horizon: u64) -> rusqlite::Result<()> {
    transaction
        .prepare_cached("UPDATE horizon SET version = ?1")?
        .execute([horizon.cast_signed()])
        .map(drop)
}

/// Collection, namespace, name and version from a column on.
pub(super) fn label<'a>(row: &'a rusqlite::Row<'_>, from: usize) -> rusqlite::Result<Label<'a>> {
    Ok(Label {
        collection: text(row.get_ref(from))?,
        namespace: text(row.get_ref(from + 1))?,
        name: text(row.get_ref(from + 2))?,
        version: version(row, from + 3)?,
    })
}

/// SQLite knows signed numbers only; versions never come near the difference.
fn version(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}

fn text(value: rusqlite::Result<ValueRef<'_>>) -> rusqlite::Result<&str> {
    value?.as_str().map_err(Into::into)
}

pub(super) fn blob(value: rusqlite::Result<ValueRef<'_>>) -> rusqlite::Result<&[u8]> {
    value?.as_blob().map_err(Into::into)
}
