//! The format of the file, and the way from older ones. A file tells its format by SQLite's
//! `user_version`; one transaction takes it to the newest, so a crash leaves the old or the new.

use std::path::Path;

use rusqlite::{Connection, Transaction, params};

use super::{
    Error,
    database::{self, classify},
    keys::Keyring,
    row::{Label, Link, MARK, SEALED},
};
use crate::object::Stored;

/// A step takes the format of its index to the next one.
type Step = fn(&Transaction<'_>, &Way<'_>) -> Result<(), Error>;

/// The newest format.
pub(super) const NEWEST: u32 = 2;

const STEPS: [Step; NEWEST as usize] = [first, with_sums];

/// What a step needs besides the transaction.
struct Way<'a> {
    path: &'a Path,
    keys: &'a Keyring,
}

impl Way<'_> {
    fn run(&self, transaction: &Transaction<'_>, sql: &str) -> Result<(), Error> {
        transaction
            .execute_batch(sql)
            .map_err(|error| classify(self.path, error))
    }
}

/// The format of a file, which must be one that is known.
pub(super) fn of(connection: &Connection, path: &Path) -> Result<u32, Error> {
    let found: u32 = connection
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .map_err(|error| classify(path, error))?;
    if found > NEWEST {
        return Err(Error::Newer {
            path: path.into(),
            found,
            known: NEWEST,
        });
    }
    Ok(found)
}

/// Takes a file to the newest format.
pub(super) fn migrate(
    connection: &mut Connection,
    path: &Path,
    keys: &Keyring,
) -> Result<(), Error> {
    let failed = |error| classify(path, error);
    let found = of(connection, path)?;
    if found == NEWEST {
        return Ok(());
    }
    // What was not sealed before must not stay in pages that are no longer used.
    connection
        .pragma_update(None, "secure_delete", true)
        .map_err(failed)?;
    let transaction = connection.transaction().map_err(failed)?;
    for step in STEPS.iter().skip(found as usize) {
        step(&transaction, &Way { path, keys })?;
    }
    transaction
        .pragma_update(None, "user_version", NEWEST)
        .map_err(failed)?;
    transaction.commit().map_err(failed)?;
    connection
        .pragma_update(None, "secure_delete", false)
        .map_err(failed)
}

fn first(transaction: &Transaction<'_>, way: &Way<'_>) -> Result<(), Error> {
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
fn with_sums(transaction: &Transaction<'_>, way: &Way<'_>) -> Result<(), Error> {
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
        database::insert_object(transaction, &collection, &object, &data).map_err(failed)?;
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
        database::remember(transaction, &collection, &object, past, &data).map_err(failed)?;
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
    database::encode(way.keys, &label, &object.json)
        .map(std::borrow::Cow::into_owned)
        .map_err(|error| classify(way.path, error))
}

/// Seals anew what an earlier key sealed. What nobody has the key of is left as it is.
pub(super) fn reseal(
    connection: &mut Connection,
    path: &Path,
    keys: &Keyring,
) -> Result<(), Error> {
    let failed = |error| classify(path, error);
    let Some(first) = keys.first() else {
        return Ok(());
    };
    let mut current = vec![MARK];
    current.extend_from_slice(&first.id);
    let transaction = connection.transaction().map_err(failed)?;
    for table in ["objects", "history"] {
        let more = if table == "history" {
            "previous, deleted"
        } else {
            "NULL, NULL"
        };
        let select = format!(
            "SELECT rowid, collection, namespace, name, version, data, {more} FROM {table}
             WHERE collection = ?1 AND substr(data, 1, 5) <> ?2"
        );
        for collection in SEALED {
            reseal_rows(
                &transaction,
                (table, &select),
                params![collection, current],
                keys,
            )
            .map_err(failed)?;
        }
    }
    transaction.commit().map_err(failed)
}

fn reseal_rows(
    transaction: &Transaction<'_>,
    (table, select): (&str, &str),
    which: &[&dyn rusqlite::ToSql],
    keys: &Keyring,
) -> rusqlite::Result<()> {
    let update = format!("UPDATE {table} SET data = ?1, sum = ?2 WHERE rowid = ?3");
    let mut statement = transaction.prepare(select)?;
    let mut rows = statement.query(which)?;
    while let Some(row) = rows.next()? {
        let (collection, namespace, name): (String, String, String) =
            (row.get(1)?, row.get(2)?, row.get(3)?);
        let label = Label {
            collection: &collection,
            namespace: &namespace,
            name: &name,
            version: row.get::<_, i64>(4)?.cast_unsigned(),
        };
        let link = match row.get::<_, Option<bool>>(7)? {
            Some(deleted) => Some(Link {
                previous: row.get(6)?,
                deleted,
            }),
            None => None,
        };
        let data: Vec<u8> = row.get(5)?;
        if let Ok(json) = label.unwrap(keys, &data) {
            let data = database::encode(keys, &label, &json)?;
            let sum = label.sum(&data, link.as_ref());
            transaction.prepare_cached(&update)?.execute(params![
                &data[..],
                sum,
                row.get::<_, i64>(0)?
            ])?;
        }
    }
    Ok(())
}
