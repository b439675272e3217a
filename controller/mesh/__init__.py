"""All that is Linkerd's: mirrors and their names, pins, conflicting routes, kinds of split."""
