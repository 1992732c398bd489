-- Keeps the best fraction by CLIP score; of equal scores at the cut, all.
-- source: DataComp, CLIP score filtering, best with the top 30 % (arXiv 2304.14108). For a budget that is exact
-- to the row use `clip-filter IN OUT --keep 0.3`
-- param fraction = 0.3: part of the scored pairs that is kept
SELECT * EXCEPT (image_embedding, text_embedding, __shard, __row)
FROM pairs
WHERE clip_score >= (
  SELECT percentile_cont(1.0 - $fraction) WITHIN GROUP (ORDER BY clip_score)
  FROM pairs
)
