"""What is wanted against what is there: observation, differences, plan, consent, drift, teardown. Pure: no I/O."""
