"""What stands in for a cluster where the real one cannot run: an API server, and a model of the mesh."""
