"""Says whether this machine and this clone are fine: ``make doctor``."""
