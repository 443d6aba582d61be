"""`stream-app demo`: the whole story on a real broker, step by step, with a table of figures at the end.

story         the steps, in order
traffic       the payments that are streamed, their labels, and the models' trainings
model_steps   the steps that train, deploy, refuse and roll back models
output_tap    collects anomalies and drift alerts from the output topics
output        prints numbered steps, indented lines, the table
"""
