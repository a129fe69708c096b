"""The identity that rotates, as data: what stands, which certificate is used, what is missing. Pure."""
