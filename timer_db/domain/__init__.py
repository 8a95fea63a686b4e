"""What a timer is, in pure Python: no database, no network, no clock of its own."""
