"""LoRA on this machine: our own loop on transformers and PEFT. Read ``trainer.py`` first; each other module is one step of it.

``tuner.py`` is the door (`HuggingFaceTuner`), ``token_loss.py`` measures held-out loss with the same weights and tokens.
"""
