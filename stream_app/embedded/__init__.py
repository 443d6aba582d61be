"""The broker that comes along: a real single-node Apache Kafka as a child process, for the demo and the tests."""
