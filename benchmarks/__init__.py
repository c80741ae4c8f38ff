"""The benchmarks: `make bench`, or `pullback bench` from a checkout. What is measured stands in dense.py and tests/cases."""
