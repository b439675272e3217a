"""Observers of a decision: status, metrics, traces, logs, health and the page."""
