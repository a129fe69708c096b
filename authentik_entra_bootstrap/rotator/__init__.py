"""The identity that rotates, as data: what was read, which credential is used, what is missing. Pure."""
