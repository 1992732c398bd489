-- Keeps the best pairs of every class, so that none of them crowds out the others.
-- source: a balanced cut as in the curation of MetaCLIP (arXiv 2309.16671), by score rather than at random
-- param class = label: the column that holds the class
-- param rows = 1000: most pairs of a class
WITH cut AS (
  SELECT {class} AS class, kth_best(clip_score, $rows) AS score
  FROM pairs
  GROUP BY {class}
), kept AS (
  SELECT shard, row
  FROM (
    SELECT
      p.__shard AS shard,
      p.__row AS row,
      row_number() OVER (
        PARTITION BY c.class
        ORDER BY p.clip_score DESC, p.__shard, p.__row
      ) AS place
    FROM cut c
    JOIN pairs p
      ON (p.{class} IS NOT DISTINCT FROM c.class)
      AND p.clip_score >= c.score
  )
  WHERE place <= $rows
)
SELECT p.* EXCEPT (image_embedding, text_embedding, __shard, __row)
FROM kept k
JOIN pairs p ON p.__shard = k.shard AND p.__row = k.row
