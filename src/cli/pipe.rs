//! Standard output whose reader may leave.

use std::io::{self, BufWriter, ErrorKind, Write};

/// Bytes gathered before a write.
const BUFFER_BYTES: usize = 1 << 16;

/// Standard output, which may be closed by the program that reads it.
pub(super) struct Pipe {
    out: BufWriter<Box<dyn Write + Send>>,
    closed: bool,
}

impl Pipe {
    pub(super) fn new(out: Box<dyn Write + Send>) -> Self {
        Self {
            out: BufWriter::with_capacity(BUFFER_BYTES, out),
            closed: false,
        }
    }

    /// True once a write has found that nobody reads any longer.
    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    fn noticing<T>(&mut self, result: io::Result<T>) -> io::Result<T> {
        self.closed |= matches!(&result, Err(error) if error.kind() == ErrorKind::BrokenPipe);
        result
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let result = self.out.write(bytes);
        self.noticing(result)
    }

    fn flush(&mut self) -> io::Result<()> {
        let result = self.out.flush();
        self.noticing(result)
    }
}
