"""Every test says in one line what behaviour it holds."""
