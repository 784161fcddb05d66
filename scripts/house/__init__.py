"""The rules of the house, one module a kind of rule. scripts/check_house.py runs them."""
