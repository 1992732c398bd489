//! The writer of outputs that are cut into folders by the values of columns.

use std::sync::Arc;

use arrow::{
    array::RecordBatch,
    datatypes::{Field, FieldRef, Schema},
};

use super::{DatasetWriter, PART_BYTES, WriterPolicy};
use crate::{
    error::Result,
    sink::{
        metadata::without_features,
        part::PartWriter,
        partitions::{OpenPart, PartitionColumns, Partitions},
    },
};

impl WriterPolicy {
    /// The same with the columns that files have.
    pub(super) fn of_parts(mut self) -> Self {
        if self.partition_columns == PartitionColumns::InFiles {
            return self;
        }
        let is_rest = |field: &Field| !self.partition_by.contains(field.name());
        let fields = self.input.fields().iter().enumerate();
        let rest: Vec<(usize, FieldRef)> = fields
            .filter(|(_, field)| is_rest(field))
            .map(|(place, field)| (place, Arc::clone(field)))
            .collect();
        let stored = rest
            .iter()
            .map(|(place, _)| self.stored.get(*place).cloned().flatten());
        self.stored = stored.collect();
        self.added
            .retain(|field| !self.partition_by.contains(field.name()));
        let fields: Vec<FieldRef> = rest.into_iter().map(|(_, field)| field).collect();
        self.input = Arc::new(Schema::new_with_metadata(
            fields,
            self.input.metadata().clone(),
        ));
        without_features(&mut self.metadata, &self.partition_by);
        self
    }
}

impl DatasetWriter {
    /// Appends the rows of `batch` to the parts of their folders. What waits in all of them is no more than in one part of
    /// an output that is not cut.
    pub(super) fn write_partitions(
        &mut self,
        mut partitions: Partitions,
        batch: &RecordBatch,
    ) -> Result<()> {
        for (folder, rows) in partitions.split(batch)? {
            let mut part = match partitions.take(&folder) {
                Some(part) => part,
                None => {
                    if partitions.open.len() >= partitions.most_open {
                        let oldest = partitions.open.remove(0);
                        self.end_part(oldest.part)?;
                    }
                    let in_folder = partitions.next_of(&folder);
                    self.start_part(&folder, in_folder)?
                }
            };
            part.write(&rows).map_err(|error| self.failed(error))?;
            if part.size_bytes() >= PART_BYTES {
                self.end_part(part)?;
                continue;
            }
            partitions.open.push(OpenPart { folder, part });
            self.end_groups_over(&mut partitions)?;
        }
        self.partitions = Some(partitions);
        Ok(())
    }

    /// Closes the largest row groups until the others fit.
    fn end_groups_over(&self, partitions: &mut Partitions) -> Result<()> {
        // An output that is not cut has one part, too.
        let others = partitions.open.len().saturating_sub(1) as u64;
        let held = self.staged.part_bytes().saturating_mul(others);
        let most = self.policy.row_group_bytes.saturating_sub(held);
        loop {
            let parts = partitions.open.iter_mut().map(|open| &mut open.part);
            let mut waiting: Vec<(usize, &mut PartWriter)> =
                parts.map(|part| (part.waiting_bytes(), part)).collect();
            let all: usize = waiting.iter().map(|(bytes, _)| bytes).sum();
            let largest = waiting.iter_mut().max_by_key(|(bytes, _)| *bytes);
            match largest {
                Some((bytes, part)) if all as u64 > most && *bytes > 0 => {
                    part.end_group().map_err(|error| self.failed(error))?;
                }
                _ => return Ok(()),
            }
        }
    }
}
