"""How packages of others are set, and the oldest versions of them that were tested."""
