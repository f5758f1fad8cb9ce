"""The rules of the swarm: standard library only, no clock, no I/O, no randomness of its own."""
