"""What every part of the program uses: waits and retries, logs and events, trust, addresses, files, leases."""
