"""A sim worker: thousands of troopers' loops in one process, started by rack/engines/sim.py."""
