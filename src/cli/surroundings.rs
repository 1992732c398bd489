//! What libraries are told through their environment before any thread runs.

use std::env;

/// Tells libraries what they read from their environment only.
///
/// ONNX Runtime's 1.32 builds collect and send usage events unless told not to before they are loaded; a program that
/// promises to work offline sends nothing. candle's element-wise operations wait for each other by spinning: on batches
/// as small as ours one thread is two to four times faster than two. Without this word it also counts the processor's
/// cores anew for every product.
pub(super) fn tell_libraries() {
    #[expect(
        unsafe_code,
        reason = "the libraries read their environment only; no other thread runs yet"
    )]
    // SAFETY: called first thing in `main`, before any thread is started.
    unsafe {
        env::set_var("ORT_DISABLE_TELEMETRY", "1");
        env::set_var("RAYON_NUM_THREADS", "1");
    }
}
