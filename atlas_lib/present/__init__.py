"""How finished tables are shown: nothing is computed here."""
