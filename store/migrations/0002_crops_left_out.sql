-- The QC store, version 2: pictures that were left out because space ended.
--
-- The flaw is there, and where its picture would have been cut out; only the picture is not.

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
