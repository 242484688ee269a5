"""The rules, one family in each module. A rule is registered by its line in ``RULES`` of its module and nothing else."""
