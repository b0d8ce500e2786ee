"""The last resort for two expressions: sympy, in processes that are killed when they are late."""
