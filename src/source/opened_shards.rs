//! Shards that are opened to learn what they are, several at one time: the footers of thousands of files are many short
//! waits.

use std::{collections::VecDeque, iter::Fuse, num::NonZeroUsize, panic::resume_unwind, thread};

use super::shard::{OpenedShard, Shard, TableShard};
use crate::error::Result;

/// Shards that one thread opens before their outlines are looked at; an error among the first is told without opening
/// all others.
const SHARDS_PER_THREAD: usize = 64;
/// What more threads than this would win is lost in waiting for one disk.
const MOST_THREADS: usize = 8;

type Opened = (TableShard, Result<OpenedShard>);

/// Shards in their order, each with what it is or why it cannot be read.
pub(super) struct OpenedShards<I: Iterator<Item = TableShard>> {
    waiting: Fuse<I>,
    opened: VecDeque<Opened>,
    threads: usize,
}

impl<I: Iterator<Item = TableShard>> OpenedShards<I> {
    pub(super) fn of(shards: impl IntoIterator<IntoIter = I>) -> Self {
        let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            waiting: shards.into_iter().fuse(),
            opened: VecDeque::new(),
            threads: threads.min(MOST_THREADS),
        }
    }

    fn open_more(&mut self) {
        let Some(first) = self.waiting.next() else {
            return;
        };
        let requests = first.location.requests();
        let threads = requests.map_or(self.threads, NonZeroUsize::get);
        let most = threads * SHARDS_PER_THREAD;
        let rest = self.waiting.by_ref().take(most - 1);
        let entries: Vec<TableShard> = std::iter::once(first).chain(rest).collect();
        let each = entries.len().div_ceil(threads);
        let mut entries = entries.into_iter();
        // A file that is at hand is opened before a thread has started.
        if threads == 1 || each <= 1 && requests.is_none() {
            self.opened.extend(entries.map(open));
            return;
        }
        thread::scope(|scope| {
            let mut running = Vec::new();
            while entries.len() > 0 {
                let now: Vec<TableShard> = entries.by_ref().take(each).collect();
                running.push(scope.spawn(|| now.into_iter().map(open).collect::<Vec<_>>()));
            }
            for thread in running {
                let opened = thread.join();
                // As if it had been opened here.
                self.opened
                    .extend(opened.unwrap_or_else(|panic| resume_unwind(panic)));
            }
        });
    }
}

fn open(entry: TableShard) -> Opened {
    let opened = Shard::open(&entry);
    (entry, opened)
}

impl<I: Iterator<Item = TableShard>> Iterator for OpenedShards<I> {
    type Item = Opened;

    fn next(&mut self) -> Option<Self::Item> {
        if self.opened.is_empty() {
            self.open_more();
        }
        self.opened.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array, RecordBatch};
    use parquet::arrow::ArrowWriter;

    use super::*;
    use crate::source::Location;

    #[test]
    fn shards_come_in_their_order_with_their_errors() {
        let dir = tempfile::tempdir().unwrap();
        let shards: Vec<TableShard> = (0..300)
            .map(|number| {
                let path = dir.path().join(format!("{number}.parquet"));
                if number == 170 {
                    std::fs::write(&path, "PAR1").unwrap();
                } else {
                    let rows: ArrayRef = Arc::new(Int32Array::from(vec![7; number + 1]));
                    let batch = RecordBatch::try_from_iter([("n", rows)]).unwrap();
                    let file = std::fs::File::create(&path).unwrap();
                    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
                    writer.write(&batch).unwrap();
                    writer.close().unwrap();
                }
                TableShard::from(Location::local(path))
            })
            .collect();
        for threads in [1, 3, 8] {
            let opened = OpenedShards {
                threads,
                ..OpenedShards::of(shards.clone())
            };
            let mut count = 0;
            for (number, (entry, opened)) in opened.enumerate() {
                assert_eq!(entry.location.name(), shards[number].location.name());
                match opened {
                    Ok(opened) => assert_eq!(opened.shard.rows, number as u64 + 1),
                    Err(error) => {
                        assert_eq!(number, 170);
                        assert!(error.bad_shard().is_some());
                    }
                }
                count += 1;
            }
            assert_eq!(count, shards.len());
        }
    }
}
