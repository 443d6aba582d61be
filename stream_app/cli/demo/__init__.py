"""`stream-app demo`: the whole story on a real broker, told step by step, with a table of figures at the end.

story      the steps, in order: the one place that knows what happens when
life       what happens to the models: trained, deployed, rolled back, refused, forced through, taken back
incident   trainings that end in a better model with a shifted latent space, and in an equally good one
cast       who plays: the broker, the worker, the stream of transactions
watch      what consumers of the output topics see: anomalies with their latency and precision, drift alerts
telling    how it is told: numbered steps, indented lines, the table
"""
