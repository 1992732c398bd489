-- Keeps pairs whose caption reads like a sentence rather than a file name, a link or a list of tags; runs no model.
-- source: the kind of caption rules used for Conceptual 12M (arXiv 2102.08981)
-- param min_words = 3: fewest words
-- param max_words = 256: most words
-- param letters = 0.6: least part of the characters that are letters or spaces
SELECT *
FROM pairs_shards
WHERE word_count({text}) BETWEEN $min_words AND $max_words
  AND NOT regexp_like({text}, '(?i)https?://|www\.|\.(jpe?g|png|gif|webp|bmp|tiff?)\b|^(img|dsc|dscn|image|photo)[ _-]?[0-9]+')
  AND text_length(regexp_replace({text}, '[^\p{L}\s]', '', 'g')) >= $letters * text_length({text})
