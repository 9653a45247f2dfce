-- The QC store, version 4: what people did, and that nobody changed it afterwards.
--
-- `entries` is only ever appended to. `verdicts`, `accounts` and `tokens` say where things stand, so
-- that a page need not read the whole log; each row names the entry that made it what it is, both are
-- written in one transaction, and `selvedge audit verify` holds one against the other.

-- Everything a person did, per chain numbered from 1 without holes. `chain.rs` says what `hash` is of.
-- Kinds are the program's words; a later version may know more of them.
CREATE TABLE entries (
    chain TEXT NOT NULL,
    number INTEGER NOT NULL CHECK (number >= 1),
    at INTEGER NOT NULL,
    account TEXT NOT NULL,
    role TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    run BLOB REFERENCES runs (id),
    body TEXT NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (chain, number)
) STRICT;
CREATE INDEX entries_by_time ON entries (at, chain, number);
CREATE INDEX entries_by_account ON entries (account, at, chain, number);
CREATE INDEX entries_by_kind ON entries (kind, at, chain, number);
CREATE INDEX entries_by_subject ON entries (subject, at, chain, number);
CREATE INDEX entries_by_run ON entries (run, at, chain, number);

-- Every verdict on a flaw, counted from 1. The one that stands is the latest that was not taken back.
CREATE TABLE verdicts (
    flaw BLOB NOT NULL REFERENCES flaws (id),
    nth INTEGER NOT NULL CHECK (nth >= 1),
    -- The flaw's run and class, beside it so that counting reads no flaw.
    run BLOB NOT NULL REFERENCES runs (id),
    found_class TEXT NOT NULL,
    decision TEXT NOT NULL CHECK (decision IN ('confirmed', 'rejected', 'reclassified')),
    class TEXT,
    chain TEXT NOT NULL,
    number INTEGER NOT NULL,
    -- The entry that took it back.
    undone_chain TEXT,
    undone_number INTEGER,
    standing INTEGER NOT NULL CHECK (standing IN (0, 1)),
    PRIMARY KEY (flaw, nth),
    FOREIGN KEY (chain, number) REFERENCES entries (chain, number),
    FOREIGN KEY (undone_chain, undone_number) REFERENCES entries (chain, number),
    CHECK ((decision = 'reclassified') = (class IS NOT NULL)),
    CHECK ((undone_chain IS NULL) = (undone_number IS NULL)),
    CHECK (standing = 0 OR undone_chain IS NULL)
) STRICT;
CREATE UNIQUE INDEX verdicts_by_entry ON verdicts (chain, number);
CREATE UNIQUE INDEX verdicts_standing ON verdicts (flaw) WHERE standing = 1;
CREATE INDEX verdicts_by_run ON verdicts (run, standing, found_class, decision);
CREATE INDEX verdicts_by_undo ON verdicts (undone_chain, undone_number) WHERE undone_chain IS NOT NULL;

CREATE TABLE accounts (
    name TEXT PRIMARY KEY NOT NULL,
    role TEXT NOT NULL,
    -- A PHC string: the way it was hashed, its salt, the hash.
    password TEXT NOT NULL,
    disabled INTEGER NOT NULL CHECK (disabled IN (0, 1)),
    made_at INTEGER NOT NULL,
    -- How often it was written, and the entry that wrote it last.
    revision INTEGER NOT NULL,
    chain TEXT NOT NULL,
    number INTEGER NOT NULL,
    FOREIGN KEY (chain, number) REFERENCES entries (chain, number)
) STRICT;

-- What a program shows instead of a password.
CREATE TABLE tokens (
    name TEXT PRIMARY KEY NOT NULL,
    role TEXT NOT NULL,
    -- SHA-256 of it; the secret itself is nowhere.
    secret BLOB NOT NULL UNIQUE CHECK (length(secret) = 32),
    made_at INTEGER NOT NULL,
    revoked_at INTEGER,
    revision INTEGER NOT NULL,
    chain TEXT NOT NULL,
    number INTEGER NOT NULL,
    FOREIGN KEY (chain, number) REFERENCES entries (chain, number)
) STRICT;

-- For pages: rolls newest first, and counting flaws without reading them.
CREATE INDEX runs_by_start ON runs (started_at, id);
CREATE INDEX flaws_by_kind ON flaws (run, class, severity);
