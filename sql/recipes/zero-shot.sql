-- Keeps pairs whose image shows a concept that is given as a caption.
-- source: zero-shot classification by prompt (CLIP, arXiv 2103.00020)
-- param concept = 'a photo of a dog': the caption to compare images with
-- param threshold = 0.25: lowest cosine that is kept
SELECT
  * EXCEPT (image_embedding, text_embedding, __shard, __row),
  cosine_similarity(image_embedding, clip_text_embedding($concept)) AS concept_score
FROM pairs
WHERE cosine_similarity(image_embedding, clip_text_embedding($concept)) >= $threshold
