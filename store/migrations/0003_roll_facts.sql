-- The QC store, version 3: what a buyer's report says of a roll beside its flaws.
--
-- They are of a run, as its length is: the roll may be inspected again under another order, and
-- from other cameras. Columns of earlier runs stay NULL: not said, not measured.

-- The order that the roll was inspected for.
ALTER TABLE runs ADD COLUMN order_number TEXT;
-- Width of the cloth from selvedge to selvedge, over the places where both were in view.
ALTER TABLE runs ADD COLUMN cloth_min_um INTEGER;
ALTER TABLE runs ADD COLUMN cloth_mean_um INTEGER;
ALTER TABLE runs ADD COLUMN cloth_max_um INTEGER;
