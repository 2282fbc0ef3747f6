"""What follows from the matched payments for people: days, merchants, customers, alerts, compliance, what is due."""
