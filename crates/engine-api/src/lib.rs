//! Docker Engine API and /coracle/* on axum.
