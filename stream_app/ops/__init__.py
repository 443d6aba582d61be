"""Operations: what a worker says of itself to Prometheus, to probes, to the other workers, and to people.

progress_metrics  lag, position and model for Prometheus
health      alive? ready? with the sentence why
vitals      the pipeline's snapshot as the figures of a heartbeat
heartbeat   these, on `model-status`, once a second
feed        the topics that the page shows, from Kafka to the board
board       what they say, in bounded memory
feedback    labels matched with recent anomalies: precision
series      heartbeats as the points of the charts
overview    all of it as one document, with a verdict in one sentence
web         the page, the document, the metrics and the probes over HTTP
"""
