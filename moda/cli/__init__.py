"""The command line: parse, call, exit code. The only package that prints."""
