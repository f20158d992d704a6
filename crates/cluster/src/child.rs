//! What `muster child` does between fork and exec.
