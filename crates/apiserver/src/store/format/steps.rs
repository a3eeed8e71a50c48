//! The steps from one format to the next. A step knows the tables of its time, and is never changed.

use std::{collections::BTreeSet, path::Path};

use rusqlite::{Row, Transaction, params};

use super::super::{
    Error,
    database::classify,
    keys::Keyring,
    row::{Label, Link},
    versions,
};
use crate::object::Stored;

/// What a step needs besides the transaction.
pub(super) struct Way<'a> {
    pub(super) path: &'a Path,
    pub(super) keys: &'a Keyring,
}

impl Way<'_> {
    fn run(&self, transaction: &Transaction<'_>, sql: &str) -> Result<(), Error> {
        transaction
            .execute_batch(sql)
            .map_err(|error| classify(self.path, error))
    }
}

pub(super) fn first(transaction: &Transaction<'_>, way: &Way<'_>) -> Result<(), Error> {
    way.run(
        transaction,
        "CREATE TABLE objects (
            id INTEGER PRIMARY KEY,
            collection TEXT NOT NULL,
            namespace TEXT NOT NULL,
            name TEXT NOT NULL,
            version INTEGER NOT NULL,
            data BLOB NOT NULL,
            UNIQUE (collection, namespace, name)
        ) STRICT;
        CREATE TABLE history (
            version INTEGER PRIMARY KEY,
            previous INTEGER,
            deleted INTEGER NOT NULL,
            collection TEXT NOT NULL,
            data BLOB NOT NULL
        ) STRICT;
        CREATE TABLE horizon (
            one INTEGER PRIMARY KEY CHECK (one = 1),
            version INTEGER NOT NULL
        ) STRICT;
        INSERT INTO horizon VALUES (1, 0);",
    )
}

/// Every row gets a sum, rows of history the name of their object, and secrets are sealed.
pub(super) fn with_sums(transaction: &Transaction<'_>, way: &Way<'_>) -> Result<(), Error> {
    way.run(
        transaction,
        "ALTER TABLE objects RENAME TO old_objects;
        ALTER TABLE history RENAME TO old_history;
        CREATE TABLE objects (
            id INTEGER PRIMARY KEY,
            collection TEXT NOT NULL,
            namespace TEXT NOT NULL,
            name TEXT NOT NULL,
            version INTEGER NOT NULL,
            sum INTEGER NOT NULL,
            data BLOB NOT NULL,
            UNIQUE (collection, namespace, name)
        ) STRICT;
        CREATE TABLE history (
            version INTEGER PRIMARY KEY,
            previous INTEGER,
            deleted INTEGER NOT NULL,
            collection TEXT NOT NULL,
            namespace TEXT NOT NULL,
            name TEXT NOT NULL,
            sum INTEGER NOT NULL,
            data BLOB NOT NULL
        ) STRICT;",
    )?;
    copy_objects(transaction, way)?;
    copy_history(transaction, way)?;
    way.run(
        transaction,
        "DROP TABLE old_objects; DROP TABLE old_history;",
    )
}

fn copy_objects(transaction: &Transaction<'_>, way: &Way<'_>) -> Result<(), Error> {
    let failed = |error| classify(way.path, error);
    let mut statement = transaction
        .prepare("SELECT collection, version, data FROM old_objects ORDER BY id")
        .map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let collection: String = row.get(0).map_err(failed)?;
        let object = old(way, row.get(1), row.get(2))?;
        let data = data(way, &collection, &object)?;
        insert_object(transaction, &collection, &object, &data).map_err(failed)?;
    }
    Ok(())
}

fn copy_history(transaction: &Transaction<'_>, way: &Way<'_>) -> Result<(), Error> {
    let failed = |error| classify(way.path, error);
    let mut statement = transaction
        .prepare(
            "SELECT collection, version, data, previous, deleted FROM old_history ORDER BY version",
        )
        .map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let collection: String = row.get(0).map_err(failed)?;
        let object = old(way, row.get(1), row.get(2))?;
        let data = data(way, &collection, &object)?;
        let past = Link {
            previous: row.get::<_, Option<i64>>(3).map_err(failed)?,
            deleted: row.get(4).map_err(failed)?,
        };
        remember(transaction, &collection, &object, past, &data).map_err(failed)?;
    }
    Ok(())
}

/// An object as formats before sums kept it.
fn old(
    way: &Way<'_>,
    version: rusqlite::Result<i64>,
    data: rusqlite::Result<Vec<u8>>,
) -> Result<Stored, Error> {
    let failed = |error| classify(way.path, error);
    let version = version.map_err(failed)?.cast_unsigned();
    Stored::parse(version, data.map_err(failed)?.into()).map_err(|error| Error::Damaged {
        path: way.path.into(),
        why: format!("the object of version {version}: {error}"),
    })
}

fn data(way: &Way<'_>, collection: &str, object: &Stored) -> Result<Vec<u8>, Error> {
    let label = Label::new(collection, object);
    let json = object.json().map_err(|failure| Error::Damaged {
        path: way.path.into(),
        why: failure.message,
    })?;
    versions::encode(way.keys, &label, &json)
        .map(std::borrow::Cow::into_owned)
        .map_err(|error| classify(way.path, error))
}

/// Writes an object in the place of the one of its name.
fn insert_object(
    transaction: &Transaction<'_>,
    collection: &str,
    object: &Stored,
    data: &[u8],
) -> rusqlite::Result<()> {
    let label = Label::new(collection, object);
    transaction
        .prepare_cached(
            "INSERT INTO objects (collection, namespace, name, version, sum, data)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT DO UPDATE
             SET version = excluded.version, sum = excluded.sum, data = excluded.data",
        )?
        .execute(params![
            label.collection,
            label.namespace,
            label.name,
            label.version.cast_signed(),
            label.sum(data, None),
            data
        ])?;
    Ok(())
}

/// Writes a row of history.
fn remember(
    transaction: &Transaction<'_>,
    collection: &str,
    object: &Stored,
    link: Link,
    data: &[u8],
) -> rusqlite::Result<()> {
    let label = Label::new(collection, object);
    transaction
        .prepare_cached("INSERT INTO history VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
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

/// One table with every version of every object takes the place of one with the objects and one with
/// their past, which both had what is newest.
pub(super) fn with_one_table(transaction: &Transaction<'_>, way: &Way<'_>) -> Result<(), Error> {
    way.run(transaction, versions::TABLE)?;
    for select in [
        "SELECT collection, namespace, name, version, sum, data, previous, deleted FROM history
         ORDER BY version",
        "SELECT collection, namespace, name, version, sum, data, NULL, NULL FROM objects
         WHERE version NOT IN (SELECT version FROM history)",
    ] {
        let failed = |error| classify(way.path, error);
        // Of what was replaced before history begins nothing is left to refer to.
        let mut known = BTreeSet::new();
        let mut statement = transaction.prepare(select).map_err(failed)?;
        let mut rows = statement.query([]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let whole = move_row(transaction, row, &mut known).map_err(failed)?;
            whole.map_err(|label| Error::Damaged {
                path: way.path.into(),
                why: format!("{label}: its checksum is wrong"),
            })?;
        }
    }
    way.run(transaction, "DROP TABLE objects; DROP TABLE history;")
}

/// Takes a row over. If it is not as it was written, returns whose it is.
fn move_row(
    transaction: &Transaction<'_>,
    row: &Row<'_>,
    known: &mut BTreeSet<i64>,
) -> rusqlite::Result<Result<(), String>> {
    let label = versions::label(row, 0)?;
    let data = versions::blob(row.get_ref(5))?;
    let link = match row.get(7)? {
        Some(deleted) => Some(Link {
            previous: row.get(6)?,
            deleted,
        }),
        None => None,
    };
    if label.sum(data, link.as_ref()) != row.get::<_, u32>(4)? {
        return Ok(Err(label.to_string()));
    }
    let link = Link {
        previous: link
            .and_then(|link| link.previous)
            .filter(|previous| known.contains(previous)),
        deleted: link.is_some_and(|link| link.deleted),
    };
    known.insert(label.version.cast_signed());
    versions::append(transaction, &label, link, data).map(Ok)
}
