"""Training and evaluation data: reading, checking, splitting, immutable versions, and the bundled course."""
