"""Senders: each makes one HTTP call and says exactly what is known of it."""
