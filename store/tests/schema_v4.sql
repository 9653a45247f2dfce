CREATE TABLE selvedge_schema (
    version INTEGER PRIMARY KEY NOT NULL,
    migrated_at INTEGER NOT NULL
) STRICT;
CREATE TABLE articles (
    id BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),
    name TEXT NOT NULL UNIQUE,
    made_at INTEGER NOT NULL
) STRICT;
CREATE TABLE models (
    digest TEXT PRIMARY KEY NOT NULL CHECK (length(digest) = 64),
    article BLOB NOT NULL REFERENCES articles (id),
    passport TEXT NOT NULL,
    file_name TEXT NOT NULL,
    taught_at INTEGER NOT NULL
) STRICT;
CREATE TABLE active_models (
    id BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),
    article BLOB NOT NULL REFERENCES articles (id),
    model TEXT NOT NULL REFERENCES models (digest),
    chosen_at INTEGER NOT NULL
) STRICT;
CREATE TABLE stations (
    id BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),
    name TEXT NOT NULL UNIQUE,
    made_at INTEGER NOT NULL
) STRICT;
CREATE TABLE rolls (
    id BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),
    number TEXT NOT NULL,
    article BLOB NOT NULL REFERENCES articles (id),
    made_at INTEGER NOT NULL
) STRICT;
CREATE TABLE runs (
    id BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),
    roll BLOB NOT NULL REFERENCES rolls (id),
    model TEXT NOT NULL REFERENCES models (digest),
    station BLOB REFERENCES stations (id),
    calibration TEXT NOT NULL,
    engine_version TEXT NOT NULL,
    runtime_version TEXT NOT NULL,
    device TEXT NOT NULL,
    batch_shape TEXT NOT NULL,
    mm_per_px REAL NOT NULL,
    length_known TEXT NOT NULL CHECK (length_known IN ('encoder', 'measured', 'nominal')),
    started_at INTEGER NOT NULL,
    -- When rows were last appended: shows since when a run left 'running' has been silent.
    written_at INTEGER NOT NULL,
    ended_at INTEGER,
    state TEXT NOT NULL CHECK (state IN ('running', 'done', 'aborted')),
    length_um INTEGER,
    width_um INTEGER,
    message TEXT, order_number TEXT, cloth_min_um INTEGER, cloth_mean_um INTEGER, cloth_max_um INTEGER,
    CHECK ((state = 'running') = (ended_at IS NULL))
) STRICT;
CREATE TABLE coverage (
    id BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),
    run BLOB NOT NULL REFERENCES runs (id),
    along0 INTEGER NOT NULL,
    along1 INTEGER NOT NULL,
    across0 INTEGER NOT NULL,
    across1 INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('inspected', 'beside', 'gap')),
    -- Empty unless the state is 'gap'.
    reason TEXT NOT NULL,
    CHECK (along0 < along1 AND across0 < across1),
    CHECK ((state = 'gap') = (reason <> ''))
) STRICT;
CREATE TABLE flaws (
    id BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),
    run BLOB NOT NULL REFERENCES runs (id),
    class TEXT NOT NULL,
    along0 INTEGER NOT NULL,
    along1 INTEGER NOT NULL,
    across0 INTEGER NOT NULL,
    across1 INTEGER NOT NULL,
    length_um INTEGER NOT NULL,
    area_um2 INTEGER NOT NULL,
    score REAL NOT NULL,
    severity TEXT NOT NULL,
    found_at INTEGER NOT NULL,
    CHECK (along0 < along1 AND across0 < across1)
) STRICT;
CREATE TABLE crops (
    flaw BLOB PRIMARY KEY NOT NULL REFERENCES flaws (id),
    png BLOB NOT NULL,
    lane INTEGER NOT NULL,
    frame INTEGER NOT NULL,
    x_px INTEGER NOT NULL,
    y_px INTEGER NOT NULL,
    width_px INTEGER NOT NULL,
    height_px INTEGER NOT NULL,
    margin_px INTEGER NOT NULL
) STRICT;
CREATE TABLE candidates (
    id BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),
    run BLOB NOT NULL REFERENCES runs (id),
    along0 INTEGER NOT NULL,
    along1 INTEGER NOT NULL,
    across0 INTEGER NOT NULL,
    across1 INTEGER NOT NULL,
    score REAL NOT NULL,
    CHECK (along0 < along1 AND across0 < across1)
) STRICT;
CREATE TABLE events (
    id BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),
    run BLOB REFERENCES runs (id),
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    severity TEXT NOT NULL CHECK (severity IN ('info', 'warning', 'error')),
    message TEXT NOT NULL
) STRICT;
CREATE TABLE crops_left_out (
    flaw BLOB PRIMARY KEY NOT NULL REFERENCES flaws (id),
    lane INTEGER NOT NULL,
    frame INTEGER NOT NULL,
    x_px INTEGER NOT NULL,
    y_px INTEGER NOT NULL,
    width_px INTEGER NOT NULL,
    height_px INTEGER NOT NULL,
    margin_px INTEGER NOT NULL,
    -- For people.
    why TEXT NOT NULL
) STRICT;
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
CREATE INDEX models_by_article ON models (article, taught_at);
CREATE INDEX active_models_by_article ON active_models (article, chosen_at);
CREATE INDEX rolls_by_number ON rolls (number);
CREATE INDEX runs_by_roll ON runs (roll, started_at);
CREATE INDEX coverage_by_run ON coverage (run, across0, across1, along1);
CREATE INDEX flaws_by_run ON flaws (run, along0, across0);
CREATE INDEX candidates_by_run ON candidates (run, along0, across0);
CREATE INDEX events_by_run ON events (run, at);
CREATE INDEX entries_by_time ON entries (at, chain, number);
CREATE INDEX entries_by_account ON entries (account, at, chain, number);
CREATE INDEX entries_by_kind ON entries (kind, at, chain, number);
CREATE INDEX entries_by_subject ON entries (subject, at, chain, number);
CREATE INDEX entries_by_run ON entries (run, at, chain, number);
CREATE UNIQUE INDEX verdicts_by_entry ON verdicts (chain, number);
CREATE UNIQUE INDEX verdicts_standing ON verdicts (flaw) WHERE standing = 1;
CREATE INDEX verdicts_by_run ON verdicts (run, standing, found_class, decision);
CREATE INDEX verdicts_by_undo ON verdicts (undone_chain, undone_number) WHERE undone_chain IS NOT NULL;
CREATE INDEX runs_by_start ON runs (started_at, id);
CREATE INDEX flaws_by_kind ON flaws (run, class, severity);
INSERT INTO selvedge_schema (version, migrated_at) VALUES (4, 0);
