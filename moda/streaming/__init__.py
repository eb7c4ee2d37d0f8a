"""Motion and frames of sound that is arriving; a whole file is a stream that arrives at once."""
