"""The shell around the core: stores, queue, reconciler, writes, lease, and those who are asked for evidence."""
