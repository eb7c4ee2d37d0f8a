"""The one training loop and what a stage has to offer it."""
