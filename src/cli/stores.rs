//! Object stores and formats of tables, opened once for all that a command reads and writes.

use crate::{sink::OutputPlaces, source::Places};

/// Where inputs may lie, and which tables are read there.
pub(super) fn places() -> Places {
    let places = Places::default();
    #[cfg(feature = "remote")]
    let places = places.with_object_stores(stores());
    #[cfg(feature = "delta")]
    let places = places.with_tables(std::sync::Arc::new(crate::delta::DeltaTables));
    places
}

/// Where outputs may go.
#[cfg(feature = "remote")]
pub(super) fn output_places() -> OutputPlaces {
    OutputPlaces::default().with_object_stores(stores())
}

#[cfg(not(feature = "remote"))]
pub(super) fn output_places() -> OutputPlaces {
    OutputPlaces::default()
}

#[cfg(feature = "remote")]
fn stores() -> &'static std::sync::Arc<crate::remote::ObjectStores> {
    static STORES: std::sync::LazyLock<std::sync::Arc<crate::remote::ObjectStores>> =
        std::sync::LazyLock::new(crate::remote::ObjectStores::from_environment);
    &STORES
}
