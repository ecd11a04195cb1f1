"""
How fast, in how much memory: ``python -m tests.benchmarks``, beside stock Twisted.
"""
