"""What every sender promises, against receivers that do their worst."""
