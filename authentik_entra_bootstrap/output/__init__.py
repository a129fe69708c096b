"""Results for people and for programs. One file per format; nothing here computes."""
