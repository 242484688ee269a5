"""Tuning: a recipe and a dataset go in, a tuned model comes out.

One folder or module for each method, behind `homeroom.schema.tuning.Tuner`.

- `homeroom.tuning.recipe`: what a run is made of; `homeroom.tuning.recipe_file`: YAML to recipes, every mistake at once.
- `homeroom.tuning.huggingface`: LoRA on this machine with transformers and PEFT. Start reading at its ``trainer.py``.
"""
