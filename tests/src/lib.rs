//! What needs the whole: VM, docker client, desktop.
