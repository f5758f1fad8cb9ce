"""Real processes, real faults."""
