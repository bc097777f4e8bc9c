"""Answers over HTTP: a judge as a service, a page over runs, and a page to rate texts."""
