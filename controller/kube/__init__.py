"""The API client and the typed objects; nothing else speaks to an API server."""
