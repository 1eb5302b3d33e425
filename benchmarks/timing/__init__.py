"""Latency by stage, throughput and memory of deployments."""
