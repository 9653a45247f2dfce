-- The QC store, version 1.
--
-- Written once for two servers: SQLite runs it as it stands; for PostgreSQL the three type words are
-- exchanged (BLOB, INTEGER, REAL become BYTEA, BIGINT, DOUBLE PRECISION) and STRICT is left out.
-- Ids are UUIDv7 in 16 bytes. Times are microseconds since 1970 UTC. Lengths are micrometres;
-- a rectangle is half open, [along0, along1) x [across0, across1), from the station's datum.
-- A released migration is never edited: the next change is the next file.

CREATE TABLE selvedge_schema (
    version INTEGER PRIMARY KEY NOT NULL,
    migrated_at INTEGER NOT NULL
) STRICT;

CREATE TABLE articles (
    id BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),
    name TEXT NOT NULL UNIQUE,
    made_at INTEGER NOT NULL
) STRICT;

-- A model under the SHA-256 of its file. Never updated.
CREATE TABLE models (
    digest TEXT PRIMARY KEY NOT NULL CHECK (length(digest) = 64),
    article BLOB NOT NULL REFERENCES articles (id),
    passport TEXT NOT NULL,
    file_name TEXT NOT NULL,
    taught_at INTEGER NOT NULL
) STRICT;
CREATE INDEX models_by_article ON models (article, taught_at);

-- Which model an article uses: every choice is kept, the latest holds.
CREATE TABLE active_models (
    id BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),
    article BLOB NOT NULL REFERENCES articles (id),
    model TEXT NOT NULL REFERENCES models (digest),
    chosen_at INTEGER NOT NULL
) STRICT;
CREATE INDEX active_models_by_article ON active_models (article, chosen_at);

CREATE TABLE stations (
    id BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),
    name TEXT NOT NULL UNIQUE,
    made_at INTEGER NOT NULL
) STRICT;

-- A roll number is a name: several rolls may bear it.
CREATE TABLE rolls (
    id BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),
    number TEXT NOT NULL,
    article BLOB NOT NULL REFERENCES articles (id),
    made_at INTEGER NOT NULL
) STRICT;
CREATE INDEX rolls_by_number ON rolls (number);

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
    message TEXT,
    CHECK ((state = 'running') = (ended_at IS NULL))
) STRICT;
CREATE INDEX runs_by_roll ON runs (roll, started_at);

-- The ledger: what was looked at, what was not and why, what lay beside the cloth.
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
CREATE INDEX coverage_by_run ON coverage (run, across0, across1, along1);

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
CREATE INDEX flaws_by_run ON flaws (run, along0, across0);

-- Pictures apart from the flaws, so that a list of flaws reads none of them.
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

-- Below the threshold: a roll can be graded again under other rules without looking again.
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
CREATE INDEX candidates_by_run ON candidates (run, along0, across0);

CREATE TABLE events (
    id BLOB PRIMARY KEY NOT NULL CHECK (length(id) = 16),
    run BLOB REFERENCES runs (id),
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    severity TEXT NOT NULL CHECK (severity IN ('info', 'warning', 'error')),
    message TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_run ON events (run, at);
