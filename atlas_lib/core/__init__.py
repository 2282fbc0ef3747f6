"""What every room stands on: money, calendars, tables, settings, the run directory, the engine."""
