/// What the scores from embeddings are, for the long help.
pub(super) const SCORE_NAMES: &str = "\
Scores from embeddings, over all good rows (sql/columns.md has formulas and sources):
  cell             class of the pair, or cluster of similar images
  sas              cosine of image and caption, or prompt of the class; after --adapt
  sas_margin       sas minus that of the best other class, or of the best other caption of 256
  sds              mean distance to the nearest images of the cell: diversity; after --adapt
  s_cliploss       clip_score against that of other images and captions
  dup_max_sim      cosine to the most similar image of the cell nearer to its centre
  proto_dist       distance to the nearest centre of a cell: how untypical an image is
  moderate         how far from the usual distance to the centre of its cell
  normsim_inf      cosine to the most similar image of --target
  normsim_2, vas   similarity to all images of --target
  selection_score  sas and sds in one: what align-diverse orders rows by";

#[cfg(test)]
mod tests {
    use super::SCORE_NAMES;
    use crate::schema::Derived;

    #[test]
    fn every_score_is_explained() {
        let words: Vec<&str> = SCORE_NAMES
            .lines()
            .skip(1)
            .flat_map(|line| line[..19].split([' ', ',']))
            .filter(|word| !word.is_empty())
            .collect();
        assert_eq!(words, Derived::ALL.map(Derived::as_str));
    }
}
