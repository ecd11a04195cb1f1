"""
What takes long: coverage-guided fuzzing, soaks, the memory of many sessions.
"""
