"""What the product is measured with: throughput beside its peers (`run`), and latency (`latency`).

Figures only; nothing here asserts a time. What is asserted is that everybody who is timed has done the work.
"""
