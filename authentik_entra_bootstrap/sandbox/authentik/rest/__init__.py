"""The conduct of Django REST framework, as much of it as authentik's API shows."""
