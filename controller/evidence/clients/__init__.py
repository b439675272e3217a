"""What the callers' own requests say, by each cluster's Prometheus."""
