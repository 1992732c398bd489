//! Object stores and formats of tables, opened once for all that a process reads and writes.

#[cfg(feature = "remote")]
use std::{
    mem, process,
    sync::{Arc, Mutex, PoisonError},
};

#[cfg(feature = "remote")]
use crate::remote::ObjectStores;
use crate::{sink::OutputPlaces, source::Places};

/// Where inputs may lie, and which tables are read there.
pub(super) fn places() -> Places {
    let places = Places::default();
    #[cfg(feature = "remote")]
    let places = places.with_object_stores(&stores());
    #[cfg(feature = "delta")]
    let places = places.with_tables(std::sync::Arc::new(crate::delta::DeltaTables));
    places
}

/// Where outputs may go.
#[cfg(feature = "remote")]
pub(super) fn output_places() -> OutputPlaces {
    OutputPlaces::default().with_object_stores(&stores())
}

#[cfg(not(feature = "remote"))]
pub(super) fn output_places() -> OutputPlaces {
    OutputPlaces::default()
}

/// The stores of a process, by its id: a child that was forked has none of its parent's threads.
#[cfg(feature = "remote")]
static STORES: Mutex<Option<Opened>> = Mutex::new(None);

#[cfg(feature = "remote")]
struct Opened {
    process: u32,
    stores: Arc<ObjectStores>,
}

#[cfg(feature = "remote")]
fn stores() -> Arc<ObjectStores> {
    let process = process::id();
    let mut opened = STORES.lock().unwrap_or_else(PoisonError::into_inner);
    match &*opened {
        Some(own) if own.process == process => Arc::clone(&own.stores),
        _ => {
            let stores = ObjectStores::from_environment();
            let own = Opened {
                process,
                stores: Arc::clone(&stores),
            };
            // What the parent has is never ended here: its threads are not there to be joined.
            mem::forget(opened.replace(own));
            stores
        }
    }
}
