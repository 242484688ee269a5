"""Looking for good hyperparameters: many short runs of one recipe, those that do badly stopped early, the best one kept."""
