"""What `moda doctor` looks at: libraries, devices, media, models, and a short animation.

Everything that may crash is done in a process of its own, and nothing is imported here that may be missing.
"""
