//! Score to amplification.
