//! What is set for the whole process before any thread runs.

use std::{env, panic, sync::Once};

use crate::error::is_contained;

/// Tells libraries what they read from their environment only.
///
/// ONNX Runtime's 1.32 builds collect and send usage events unless told not to before they are loaded; a program that
/// promises to work offline sends nothing.
pub(super) fn tell_libraries() {
    #[expect(
        unsafe_code,
        reason = "the library reads its environment only; no other thread runs yet"
    )]
    // SAFETY: called first thing in `main`, before any thread is started.
    unsafe {
        env::set_var("ORT_DISABLE_TELEMETRY", "1");
    }
}

/// From now on a panic that becomes an error is told by that alone, not printed where it happens.
pub(super) fn print_panics_that_nothing_contains() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !is_contained() {
                print(panic);
            }
        }));
    });
}
