"""Many Services as one programme: what Fleets ask, whom they name, and when whose turn it is.

Pure, as all that decides: raw objects and what was decided for each Service come in, words for each Service and a
status go out. Nothing here is remembered that does not stand on splits, pins and objects.
"""
