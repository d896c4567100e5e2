//! Containers, execs and events: the state machines and their database.
