"""Operations: what a worker reports about itself to Prometheus, to probes, to the other workers and on its page."""
