-- Keeps pairs whose image resembles no image of its cell that is nearer to the centre: one of several near-duplicates.
-- source: SemDeDup (arXiv 2303.09540), which keeps the one farthest from the centre. The column is made by
-- `clip-filter score IN --scores DIR --add dup_max_sim`; to keep the best-scored one, `clip-filter IN OUT --dedup 0.05`
-- param distance = 0.05: images whose cosine is above 1 - distance are near-duplicates
SELECT * EXCEPT (image_embedding, text_embedding, __shard, __row)
FROM pairs
WHERE dup_max_sim <= 1.0 - $distance
