"""Prepared clips on disk, and the data sets that training reads from them."""
