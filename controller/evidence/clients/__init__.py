"""What the callers' own requests tell, by each cluster's Prometheus."""
