"""``kubectl migrate fleet``: what is seen of a Fleet, and what people ask of it by hand.

It writes annotations of the Fleet and nothing else: its spec may stand in Git.
"""
