//! The client side of coracled's API, for the CLI, the desktop and the tests.
