"""What a trooper does by itself: one behaviour a file."""
