"""One LM call: its model, rate limit, cache, price, ledger, budget and stop."""
