-- Keeps the best pairs of every class, so that none of them crowds out the others.
-- source: a balanced cut as in the curation of MetaCLIP (arXiv 2309.16671), by score rather than at random
-- param class = label: the column that holds the class
-- param rows = 1000: most pairs of a class
WITH kept AS (
  SELECT shard, row
  FROM (
    SELECT
      __shard AS shard,
      __row AS row,
      row_number() OVER (PARTITION BY {class} ORDER BY clip_score DESC, __shard, __row) AS place
    FROM pairs
    WHERE clip_score IS NOT NULL
  )
  WHERE place <= $rows
)
SELECT p.* EXCEPT (image_embedding, text_embedding, __shard, __row)
FROM kept k
JOIN pairs p ON p.__shard = k.shard AND p.__row = k.row
