//! What comes next is made ready while what is there is worked on.

use std::{sync::mpsc::sync_channel, thread};

/// Gives `items` to `work`, made in a thread of their own: one waits while the next is made. Few enough stay where they
/// are.
pub fn ahead<T: Send, R>(
    mut items: impl Iterator<Item = T> + Send,
    are_few: bool,
    work: impl FnOnce(&mut dyn Iterator<Item = T>) -> R,
) -> R {
    if are_few {
        return work(&mut items);
    }
    thread::scope(|scope| {
        let (sender, made) = sync_channel(1);
        scope.spawn(move || {
            for item in items {
                // Nobody wants more.
                if sender.send(item).is_err() {
                    break;
                }
            }
        });
        work(&mut made.into_iter())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn items_come_in_order_and_few_are_made_that_nobody_wants() {
        for are_few in [true, false] {
            let all: Vec<usize> = ahead(0..100, are_few, |items| items.collect());
            assert!(all.into_iter().eq(0..100));
            let made = AtomicUsize::new(0);
            let items = (0..100).inspect(|_| {
                made.fetch_add(1, Ordering::Relaxed);
            });
            let some: Vec<usize> = ahead(items, are_few, |items| items.take(5).collect());
            assert_eq!(some, [0, 1, 2, 3, 4]);
            assert!(made.load(Ordering::Relaxed) <= 8);
        }
    }
}
