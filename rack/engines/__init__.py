"""Where troopers run: one contract, one adapter a file."""
