"""Types and protocols that the layers share. No behaviour beyond conversion to and from plain data."""
