//! What is opened, what is made, and what is refused with every byte left as it was.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use store::{SCHEMA_VERSION, Store, StoreError};

use crate::cloth::{begun, hole};
use crate::servers::{on_both, on_postgres, psql};

#[test]
fn a_newer_store_is_refused_with_both_versions_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = made(&folder.path().join("newer.db"));
    let version = SCHEMA_VERSION + 1;
    Connection::open(&path)
        .unwrap()
        .execute("INSERT INTO selvedge_schema VALUES (?1, 0)", [version])
        .unwrap();
    for refused in [refusal(&path), look_refusal(&path)] {
        assert!(matches!(refused, StoreError::Newer { .. }), "{refused:?}");
        let message = refused.to_string();
        assert!(message.contains(&format!("version {version}")), "{message}");
        assert!(
            message.contains(&format!("at most {SCHEMA_VERSION}")),
            "{message}"
        );
        assert!(message.contains("newer.db"), "{message}");
    }
}

#[test]
fn looking_makes_nothing_and_says_what_would() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("none.db").to_str().unwrap().to_owned();
    let refused = look_refusal(&path);
    assert!(
        matches!(refused, StoreError::NotFound { .. }),
        "{refused:?}"
    );
    assert!(
        refused.to_string().contains("none.db") && refused.to_string().contains("inspect"),
        "{refused}"
    );
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

#[test]
fn a_try_at_writing_leaves_no_row_and_says_what_stands_in_the_way() {
    let folder = tempfile::tempdir().unwrap();
    let path = made(&folder.path().join("tried.db"));
    Store::try_writing(&path).unwrap();
    let writer = Connection::open(&path).unwrap();
    let n_stations: i64 = writer
        .query_row("SELECT COUNT(*) FROM stations", [], |row| row.get(0))
        .unwrap();
    assert_eq!(n_stations, 0);
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = Store::try_writing(&path).unwrap_err();
    assert!(matches!(refused, StoreError::Busy { .. }), "{refused:?}");
    let none = folder.path().join("none.db").to_str().unwrap().to_owned();
    let refused = Store::try_writing(&none).unwrap_err();
    assert!(
        matches!(refused, StoreError::NotFound { .. }),
        "{refused:?}"
    );
}

#[test]
fn what_is_no_store_keeps_every_byte() {
    let folder = tempfile::tempdir().unwrap();
    let path = |file: &str| folder.path().join(file).to_str().unwrap().to_owned();
    let mut seen = 0;
    for (file, content) in [
        ("short.txt", b"roll 5".to_vec()),
        ("long.txt", b"roll 5\n".repeat(5000)),
        ("picture.png", b"\x89PNG\r\n\x1a\n".repeat(100)),
    ] {
        std::fs::write(path(file), &content).unwrap();
        for refused in [refusal(&path(file)), look_refusal(&path(file))] {
            assert!(
                matches!(refused, StoreError::NotAStore { .. }),
                "{file}: {refused:?}"
            );
            assert!(refused.to_string().contains(file), "{refused}");
            seen += 1;
        }
        assert_eq!(std::fs::read(path(file)).unwrap(), content);
    }
    assert_eq!(seen, 6);

    // Somebody else's database, in somebody else's journal mode.
    let other = path("shop.db");
    Connection::open(&other)
        .unwrap()
        .execute_batch("CREATE TABLE orders (n INTEGER)")
        .unwrap();
    let before = std::fs::read(&other).unwrap();
    for refused in [refusal(&other), look_refusal(&other)] {
        assert!(
            matches!(refused, StoreError::NotAStore { .. }),
            "{refused:?}"
        );
        assert!(refused.to_string().contains("orders"), "{refused}");
    }
    assert_eq!(std::fs::read(&other).unwrap(), before);

    // An empty file may become a store, but there is nothing to look at.
    std::fs::write(path("empty.db"), b"").unwrap();
    assert!(matches!(
        look_refusal(&path("empty.db")),
        StoreError::NotAStore { .. }
    ));
    Store::open(&path("empty.db")).unwrap();
}

#[test]
fn places_where_no_file_can_be_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let below_nothing = folder.path().join("no/such/selvedge.db");
    for place in [
        folder.path(),
        &below_nothing,
        Path::new("/proc/selvedge.db"),
        Path::new(""),
    ] {
        let refused = refusal(place.to_str().unwrap());
        assert!(
            matches!(refused, StoreError::CannotOpen { .. }),
            "{place:?}: {refused:?}"
        );
    }
    assert!(
        refusal(folder.path().to_str().unwrap())
            .to_string()
            .contains("found a folder")
    );
    assert!(!below_nothing.exists());
}

#[test]
fn addresses_of_other_servers_are_refused_by_name() {
    let refused = refusal("mysql://mill/qc");
    assert!(matches!(refused, StoreError::Invalid { .. }), "{refused:?}");
    if !cfg!(feature = "postgres") {
        let refused = refusal("postgres://mill:secret@db/qc");
        assert!(matches!(refused, StoreError::NotBuiltIn), "{refused:?}");
        assert!(!refused.to_string().contains("secret"));
    }
}

/// Killed while a fresh file became a store: the file holds half of a change, and the journal
/// beside it says how to take that back. Looking refused it as read-only.
#[test]
fn looking_takes_back_what_a_kill_left_half_done() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("making.db");
    let making = Connection::open(&path).unwrap();
    let schema = std::fs::read_to_string(schema_of(SCHEMA_VERSION)).unwrap();
    making.execute_batch(&schema).unwrap();
    // A cache of a page: what is written goes to the file before the commit.
    making
        .execute_batch(
            "PRAGMA cache_size = 1; BEGIN; \
             WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 2000) \
             INSERT INTO events SELECT randomblob(16), NULL, x, 'x', 'info', hex(randomblob(50)) \
             FROM n;",
        )
        .unwrap();
    let left = folder.path().join("left.db");
    for end in ["", "-journal"] {
        let from = format!("{}{end}", path.display());
        std::fs::copy(from, format!("{}{end}", left.display())).unwrap();
    }
    let store = Store::open_existing(left.to_str().unwrap()).unwrap();
    assert_eq!(store.loose_events(10).unwrap(), []);
}

#[test]
fn odd_file_names_are_files() {
    let folder = tempfile::tempdir().unwrap();
    for odd in ["file:a?mode=memory", "a b#c%20d.db", "ü.db"] {
        let path = folder.path().join(odd);
        let url = format!("sqlite:{}", path.to_str().unwrap());
        Store::open(&url).unwrap();
        assert!(path.exists(), "{odd:?} became something else");
        Store::open_existing(&url).unwrap();
    }
}

#[test]
fn many_may_make_the_same_store_at_once() {
    for _ in 0..5 {
        on_both(|url| {
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        let mut store = Store::open(url).unwrap();
                        begun(&mut store, "R-1");
                    });
                }
            });
            let store = Store::open_existing(url).unwrap();
            assert_eq!(store.articles().unwrap().len(), 1);
            let rolls = store.rolls().unwrap();
            assert_eq!((rolls.len(), rolls[0].n_runs), (1, 8), "one piece of cloth");
        });
    }
}

#[test]
fn what_is_no_store_of_this_version_is_left_alone_on_postgresql_too() {
    let Some(url) = on_postgres() else {
        return;
    };
    psql(&url, "CREATE TABLE orders (n INTEGER)");
    for refused in [refusal(&url), look_refusal(&url)] {
        assert!(
            matches!(refused, StoreError::NotAStore { .. }),
            "{refused:?}"
        );
        assert!(refused.to_string().contains("orders"), "{refused}");
    }
    assert_eq!(psql(&url, "SELECT COUNT(*) FROM orders"), "0");

    let url = on_postgres().unwrap();
    assert!(matches!(look_refusal(&url), StoreError::NotAStore { .. }));
    Store::open(&url).unwrap();
    let version = SCHEMA_VERSION + 1;
    psql(
        &url,
        &format!("INSERT INTO selvedge_schema VALUES ({version}, 0)"),
    );
    for refused in [refusal(&url), look_refusal(&url)] {
        assert!(matches!(refused, StoreError::Newer { .. }), "{refused:?}");
    }
}

/// The fixture is what a fresh store holds, as text; `sqlite3 v2.db < schema_v2.sql` makes a store
/// of version 2 from it. With SELVEDGE_REFRESH=1 this test writes the newest one anew.
#[test]
fn the_schema_of_this_version_is_the_committed_one() {
    let fixture = schema_of(SCHEMA_VERSION);
    let folder = tempfile::tempdir().unwrap();
    let path = made(&folder.path().join("fresh.db"));
    let dumped = dump(&Connection::open(&path).unwrap());
    if std::env::var_os("SELVEDGE_REFRESH").is_some() {
        std::fs::write(&fixture, &dumped).unwrap();
    }
    let committed = std::fs::read_to_string(&fixture).unwrap();
    assert_eq!(
        dumped, committed,
        "a released schema never changes; add a migration"
    );
}

#[test]
fn a_store_of_every_released_schema_becomes_one_of_this_version() {
    for version in 1..=SCHEMA_VERSION {
        let folder = tempfile::tempdir().unwrap();
        let old = folder.path().join("old.db");
        let committed = std::fs::read_to_string(schema_of(version)).unwrap();
        Connection::open(&old)
            .unwrap()
            .execute_batch(&committed)
            .unwrap();
        let mut store = Store::open_existing(old.to_str().unwrap())
            .map(drop)
            .and_then(|()| Store::open(old.to_str().unwrap()))
            .unwrap();
        let run = begun(&mut store, "old");
        store
            .append(
                run,
                &store::Batch {
                    flaws: vec![hole(1, 1)],
                    ..Default::default()
                },
            )
            .unwrap();
        assert_eq!(store.crops_left_out(run).unwrap(), 0);
        // The same tables as in a store that was made today, in whatever order.
        let sorted = |path: &Path| {
            let dumped = dump(&Connection::open(path).unwrap());
            let mut statements: Vec<String> = dumped.split(";\n").map(str::to_owned).collect();
            statements.sort();
            statements
        };
        let fresh = folder.path().join("fresh.db");
        made(&fresh);
        assert_eq!(sorted(&old), sorted(&fresh), "version {version}");
    }
}

fn schema_of(version: i64) -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    tests.join(format!("schema_v{version}.sql"))
}

/// Every statement that makes the schema, and its version.
fn dump(connection: &Connection) -> String {
    let mut statements = connection
        .prepare("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY type DESC, rowid")
        .unwrap();
    let statements = statements
        .query_map([], |row| row.get::<_, String>(0))
        .unwrap();
    let schema: String = statements.map(|sql| sql.unwrap() + ";\n").collect();
    let version: i64 = connection
        .query_row("SELECT MAX(version) FROM selvedge_schema", [], |row| {
            row.get(0)
        })
        .unwrap();
    format!("{schema}INSERT INTO selvedge_schema (version, migrated_at) VALUES ({version}, 0);\n")
}

fn made(path: &Path) -> String {
    let url = path.to_str().unwrap().to_owned();
    Store::open(&url).unwrap();
    url
}

fn refusal(url: &str) -> StoreError {
    Store::open(url)
        .err()
        .unwrap_or_else(|| panic!("{url:?} was opened"))
}

fn look_refusal(url: &str) -> StoreError {
    Store::open_existing(url)
        .err()
        .unwrap_or_else(|| panic!("{url:?} was opened"))
}
