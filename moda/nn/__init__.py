"""Network parts that know nothing of training, data or files of this project."""
