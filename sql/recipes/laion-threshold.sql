-- Keeps pairs whose caption fits the image at least so well.
-- source: LAION-400M keeps a ViT-B/32 cosine of 0.3 or more (arXiv 2111.02114), LAION-5B 0.28 for English (arXiv 2210.08402)
-- param threshold = 0.28: lowest clip_score that is kept
SELECT * EXCEPT (image_embedding, text_embedding, __shard, __row)
FROM pairs
WHERE clip_score >= $threshold
