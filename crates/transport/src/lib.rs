//! One connect(port)/listen(port) between host and guest: AF_VSOCK, vhost-user vsock, multiplexed virtio-serial, in-memory.
