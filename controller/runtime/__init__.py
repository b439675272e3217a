"""The shell around the core: stores, queue, reconciler, writer, lease, and those who are asked for evidence."""
