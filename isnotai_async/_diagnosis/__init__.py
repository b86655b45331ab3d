"""The doctor: asks the live API what this package takes for granted, and reports what is different."""
