"""Many workers on one study: the queue, the shared budget and replies."""
