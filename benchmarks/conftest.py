"""What pytest leaves alone here."""

# Each needs its own library. For the same reason the folder has no __init__.py: asv would import what is in it.
collect_ignore_glob = ["peers/*"]
