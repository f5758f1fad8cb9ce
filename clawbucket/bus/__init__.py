"""The shared memory: one contract, one adapter a file."""
