"""A finished judge over tables of any length."""
