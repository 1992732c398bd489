-- Keeps one pair of those whose image bytes are equal: the one whose caption fits best, of equal ones the first.
-- source: removal of exact duplicates before training, as in LAION and DataComp
WITH kept AS (
  SELECT shard, row
  FROM (
    SELECT
      __shard AS shard,
      __row AS row,
      row_number() OVER (
        PARTITION BY sha256({image_bytes})
        ORDER BY clip_score DESC, __shard, __row
      ) AS place
    FROM pairs
    WHERE clip_score IS NOT NULL
  )
  WHERE place = 1
)
SELECT p.* EXCEPT (image_embedding, text_embedding, __shard, __row)
FROM kept k
JOIN pairs p ON p.__shard = k.shard AND p.__row = k.row
