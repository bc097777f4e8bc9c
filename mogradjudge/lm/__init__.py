"""One LM call: its model, limit, cache, price, ledger, budget and stop."""
