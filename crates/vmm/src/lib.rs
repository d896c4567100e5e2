//! Virtual machines: the Hypervisor trait, the QEMU backend driven by QMP, and the task that owns a VM's life.
