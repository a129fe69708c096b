"""authentik's background worker: what a sync really does, tasks, retries, schedules."""
