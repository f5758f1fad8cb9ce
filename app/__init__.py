"""The replica: a trooper's HTTP face and its loops."""
