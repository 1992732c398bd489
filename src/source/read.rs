//! Rows of a shard: what its kind reads of the file, as the columns of the set and without the rows that are left out.

use std::ops::Range;

use arrow::{array::RecordBatch, error::ArrowError};

use super::{
    EncodedRows, ReadPlan, Shard,
    fitting::{Fit, Reading},
    kind::{Batches, OpenRows},
    left_out::LeftOut,
};
use crate::error::{Error, Result};

/// Reads a shard row group by row group, holding one page per column at a time.
///
/// Byte and string columns come as views (see [`super::view_schema`]), so image bytes are not copied out of
/// their page.
pub struct ShardReader {
    /// `None` if no row can pass the conditions.
    rows: Option<Box<dyn OpenRows>>,
    shard: String,
    /// Its columns are those of the set.
    is_plain: bool,
    fit: Option<Fit>,
    left_out: LeftOut,
    /// First row of each row group and the end of the last; empty where no row is left out.
    bounds: Vec<u64>,
}

impl ShardReader {
    /// Opens `shard`, with its page offsets if the file has them.
    ///
    /// # Errors
    /// When the file cannot be opened or its footer has changed its mind since [`super::ShardSet::open`].
    pub fn open(shard: &Shard, plan: ReadPlan) -> Result<Self> {
        let reading = shard.columns.read(plan).map_err(|error| {
            Error::input("decide a condition on columns of one value")
                .with("shard", &shard.location)
                .source(error)
        })?;
        let (rows, fit) = match reading {
            Reading::Rows { plan, fit } => (Some(shard.content.open(&shard.location, plan)?), fit),
            Reading::Nothing => (None, None),
        };
        let mut bounds = Vec::new();
        if !shard.left_out.is_empty() {
            bounds.push(0);
            bounds.extend(shard.row_groups.iter().scan(0, |end, rows| {
                *end += rows;
                Some(*end)
            }));
        }
        Ok(Self {
            rows,
            shard: shard.location.name().to_owned(),
            is_plain: shard.columns.is_plain(),
            fit,
            left_out: shard.left_out.clone(),
            bounds,
        })
    }

    /// How its row groups lie in the file, where they can be copied as they are: of Parquet, if its columns are all
    /// that the shard has.
    pub fn encoded(&self) -> Option<EncodedRows> {
        self.rows.as_ref()?.encoded().filter(|_| self.is_plain)
    }

    /// Batches of one row group; only the rows of `wanted`, ascending from its start, if that is given.
    ///
    /// # Errors
    /// When a page that must be read at once is damaged.
    pub fn row_group(
        &self,
        group: usize,
        wanted: Option<Vec<Range<usize>>>,
    ) -> Result<RowGroupReader> {
        let wanted = self.there(group, wanted);
        let batches: Batches = match &self.rows {
            Some(rows) if wanted.as_ref().is_none_or(|wanted| !wanted.is_empty()) => {
                rows.row_group(group, wanted)?
            }
            _ => Box::new(std::iter::empty()),
        };
        Ok(RowGroupReader {
            batches,
            fit: self.fit.clone().map(|fit| (fit, self.shard.clone())),
        })
    }

    /// What of `wanted` is not left out; `None` for the whole row group.
    fn there(&self, group: usize, wanted: Option<Vec<Range<usize>>>) -> Option<Vec<Range<usize>>> {
        let bounds = self.bounds.get(group).zip(self.bounds.get(group + 1));
        let Some((&first, &end)) = bounds else {
            return wanted;
        };
        if wanted.is_none() && self.left_out.count_in(first..end) == 0 {
            return None;
        }
        let rows = usize::try_from(end - first).unwrap_or(usize::MAX);
        let wanted = wanted.unwrap_or_else(|| std::iter::once(0..rows).collect());
        Some(self.left_out.taken_from(first, &wanted))
    }
}

/// Iterates over the batches of one row group.
pub struct RowGroupReader {
    batches: Batches,
    /// What makes them those of the set, and the name of the shard.
    fit: Option<(Fit, String)>,
}

impl Iterator for RowGroupReader {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batches.next()?;
        let Some((fit, shard)) = &self.fit else {
            return Some(batch);
        };
        Some(batch.and_then(|batch| {
            fit.batch(&batch).map_err(|error| {
                let error = match error {
                    ArrowError::ExternalError(error) => {
                        error.downcast::<Error>().map(|error| *error)
                    }
                    other => Err(other.into()),
                };
                let other =
                    |error| Error::internal("bring a shard to the columns of all").source(error);
                error.unwrap_or_else(other).with("shard", shard)
            })
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, sync::Arc};

    use arrow::{
        array::{Array, ArrayRef, AsArray, BinaryArray, BinaryViewArray},
        datatypes::DataType,
    };
    use parquet::{
        arrow::ArrowWriter,
        basic::Compression,
        file::properties::{WriterProperties, WriterVersion},
    };

    use super::*;
    use crate::source::{Location, ShardSet, compact, conform};

    const IMAGE_BYTES: usize = 20_000;

    /// Where the bytes of every image lie.
    fn addresses(images: &BinaryViewArray) -> Vec<*const u8> {
        images.iter().flatten().map(<[u8]>::as_ptr).collect()
    }

    /// From the page that was read to what the writer is given, no image is copied; of one that is not compressed, none
    /// is read but those that are wanted.
    #[test]
    fn image_bytes_stay_where_they_were_read_to() {
        for codec in [Compression::UNCOMPRESSED, Compression::SNAPPY] {
            image_bytes_stay(codec);
        }
    }

    fn image_bytes_stay(codec: Compression) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("shard.parquet");
        let images: Vec<Vec<u8>> = (0u8..100).map(|row| vec![row; IMAGE_BYTES]).collect();
        let column = BinaryArray::from_iter_values(&images);
        let batch = RecordBatch::try_from_iter([("image", Arc::new(column) as ArrayRef)]).unwrap();
        let properties = WriterProperties::builder()
            .set_compression(codec)
            .set_dictionary_enabled(false)
            .set_writer_version(WriterVersion::PARQUET_1_0);
        let file = File::create(&path).unwrap();
        let mut writer =
            ArrowWriter::try_new(file, batch.schema(), Some(properties.build())).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();

        let set = ShardSet::open(&[Location::local(path)]).unwrap();
        let plan = ReadPlan {
            columns: vec![0],
            batch_rows: 64,
            batch_bytes: u64::MAX,
            ..ReadPlan::default()
        };
        let reader = ShardReader::open(&set.shards[0], plan).unwrap();
        let mut wanted = (0..100).step_by(3);
        for batch in reader
            .row_group(0, Some(wanted.clone().map(|row| row..row + 1).collect()))
            .unwrap()
        {
            let batch = batch.unwrap();
            let read = batch.column(0).as_binary_view();
            for image in read.iter().flatten() {
                assert_eq!(image, images[wanted.next().unwrap()]);
            }
            let held: usize = read.data_buffers().iter().map(|buffer| buffer.len()).sum();
            let wanted_bytes = read.len() * IMAGE_BYTES;
            match codec {
                Compression::UNCOMPRESSED => assert!(held < wanted_bytes + IMAGE_BYTES, "{held}"),
                _ => assert!(held > 2 * wanted_bytes, "{held}: not pages, but copies"),
            }
            let given = conform(batch.column(0), &DataType::BinaryView).unwrap();
            assert_eq!(addresses(given.as_binary_view()), addresses(read));
            let own = compact(batch.column(0));
            assert_ne!(addresses(own.as_binary_view()), addresses(read));
        }
        assert_eq!(wanted.next(), None);
    }
}
