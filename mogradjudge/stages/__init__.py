"""The three stages of a textual gradient - loss, gradient, optimizer - and the gate."""
