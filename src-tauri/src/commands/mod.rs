//! What the page can call, one module per kind of thing. Each forwards and translates, no more.

pub(crate) mod containers;
pub(crate) mod images;
pub(crate) mod run;
pub(crate) mod service;
pub(crate) mod system;

pub(crate) type Answer<T> = Result<T, crate::failure::Failure>;
