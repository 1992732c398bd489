-- Keeps the pairs that a list names, which is a table: --input uids=FILE; runs no model.
-- source: DataComp publishes its subsets as lists of uids
-- param key = uid: the column of the pairs that is compared
-- param uid = uid: the column of the list
SELECT p.*
FROM (SELECT DISTINCT {uid} AS wanted FROM uids) u
JOIN pairs_shards p ON p.{key} = u.wanted
