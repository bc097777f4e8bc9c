"""How focused a text of advice is on one criterion, measured by raters that were tested first."""
