"""The parts of `homeroom pack`: which wheels the other machine needs, what lies beside them, and the installer."""
