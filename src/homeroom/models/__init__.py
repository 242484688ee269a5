"""Models: catalogue, fetching, chat templates, the embedded engine and the one chat wire.

Importing this package loads nothing. `catalogue`, `client`, `engine`, `engine_chat` and `tokenizer` are light; the modules that
read or write weights (`gguf_read`, `gguf_write`, `lora_gguf`, `tiny`) need numpy and ``gguf`` and are imported where they are
used.
"""
