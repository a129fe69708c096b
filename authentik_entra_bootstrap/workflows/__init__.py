"""The runs: observe both sides, plan, apply, prove, report."""
