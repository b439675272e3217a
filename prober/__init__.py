"""The prober: sends synthetic requests, and says honestly what became of them."""
