//! Reading /proc.
