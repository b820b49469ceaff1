//! group-commit
