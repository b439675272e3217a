"""Builds what a release is made of into dist/: ``python -m deploy.release``. It publishes and signs nothing."""
