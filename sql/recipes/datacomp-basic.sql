-- Keeps pairs with a caption and an image of reasonable size; runs no model.
-- source: DataComp, basic filtering without its language test (arXiv 2304.14108, appendix on baselines)
-- param words = 2: fewest words of a caption
-- param letters = 6: fewest characters of a caption
-- param side = 200: shortest side in pixels must be longer than this
-- param aspect = 3.0: longest side over shortest side must be less than this
SELECT *
FROM pairs_shards
WHERE word_count({text}) >= $words
  AND text_length({text}) >= $letters
  AND least(image_width({image}), image_height({image})) > $side
  AND greatest(image_width({image}), image_height({image}))
    < $aspect * least(image_width({image}), image_height({image}))
