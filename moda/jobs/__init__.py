"""Videos to make: what each is made of, lists of them, and the making itself."""
