"""clawbucket, "Bob's World": a swarm testbed in which every replica is an autonomous trooper."""

__version__ = "0.1.0"
