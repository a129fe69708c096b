"""The rotation protocol as pure functions: what is due, its phases, what proves it, what each secret is. No I/O."""
