"""authentik's resources: each a model, a serializer and a view, declared as data."""
