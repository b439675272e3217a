"""The product's promise: pure decisions on what was observed."""
