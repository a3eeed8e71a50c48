//! The format of the file, and the way from older ones. A file tells its format by SQLite's
//! `user_version`; one transaction takes it to the newest, so a crash leaves the old or the new.

mod steps;

use std::path::Path;

use rusqlite::{Connection, Transaction, params};

use super::{
    Error,
    database::classify,
    keys::Keyring,
    row::{Link, MARK, SEALED},
    versions,
};
use steps::Way;

/// A step takes the format of its index to the next one.
type Step = fn(&Transaction<'_>, &Way<'_>) -> Result<(), Error>;

/// The newest format.
pub(super) const NEWEST: u32 = 3;

const STEPS: [Step; NEWEST as usize] = [steps::first, steps::with_sums, steps::with_one_table];

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

/// The tables of a file of any format that hold objects.
pub(super) fn tables(connection: &Connection) -> rusqlite::Result<Vec<&'static str>> {
    let mut statement =
        connection.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?1")?;
    let mut tables = Vec::new();
    for table in ["objects", "history", "versions"] {
        if statement.exists([table])? {
            tables.push(table);
        }
    }
    Ok(tables)
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

/// Seals anew what an earlier key sealed. What nobody has the key of is left as it is.
pub(super) fn reseal(
    connection: &mut Connection,
    path: &Path,
    keys: &Keyring,
) -> Result<(), Error> {
    let Some(first) = keys.first() else {
        return Ok(());
    };
    let mut current = vec![MARK];
    current.extend_from_slice(&first.id);
    let mut reseal = || {
        let transaction = connection.transaction()?;
        for collection in SEALED {
            reseal_rows(&transaction, params![collection, current], keys)?;
        }
        transaction.commit()
    };
    reseal().map_err(|error| classify(path, error))
}

fn reseal_rows(
    transaction: &Transaction<'_>,
    which: &[&dyn rusqlite::ToSql],
    keys: &Keyring,
) -> rusqlite::Result<()> {
    let mut statement = transaction.prepare(
        "SELECT collection, namespace, name, version, data, previous, deleted FROM versions
         WHERE collection = ?1 AND substr(data, 1, 5) <> ?2",
    )?;
    let mut rows = statement.query(which)?;
    while let Some(row) = rows.next()? {
        let label = versions::label(row, 0)?;
        let link = Link {
            previous: row.get(5)?,
            deleted: row.get(6)?,
        };
        if let Ok(json) = label.unwrap(keys, versions::blob(row.get_ref(4))?) {
            let data = versions::encode(keys, &label, &json)?;
            let sum = label.sum(&data, Some(&link));
            transaction
                .prepare_cached("UPDATE versions SET data = ?1, sum = ?2 WHERE version = ?3")?
                .execute(params![&data[..], sum, label.version.cast_signed()])?;
        }
    }
    Ok(())
}
