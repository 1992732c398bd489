-- Keeps the best fraction by s_cliploss, clip_score against that of other captions and images; of equal scores at the cut, all.
-- source: negCLIPLoss (arXiv 2405.19547), in place of the CLIP score of DataComp's cut. The column is made by
-- `clip-filter score IN --scores DIR --add s_cliploss`
-- param fraction = 0.3: part of the scored pairs that is kept
SELECT * EXCEPT (image_embedding, text_embedding, __shard, __row)
FROM pairs
WHERE s_cliploss >= (
  SELECT percentile_cont(1.0 - $fraction) WITHIN GROUP (ORDER BY s_cliploss)
  FROM pairs
)
